#!/usr/bin/env bash
# This machine as a node of a Ray cluster, until Ctrl-C or SIGTERM:
#
#   cluster/start.sh head                     on the first machine; its port is $RAY_PORT (6379)
#   cluster/start.sh worker HEAD[:PORT]       on each other one
#
# What follows goes to `ray start`, such as --num-gpus 4 or --node-ip-address 10.0.0.3. The dashboard listens on the head's
# loopback address alone: ssh -L 8265:127.0.0.1:8265 HEAD.
#
# Nodes and searches show the cluster's token. It is $RAY_AUTH_TOKEN, or the contents of $RAY_AUTH_TOKEN_PATH, or of
# ~/.ray/auth_token, which the head writes when there is none.
set -euo pipefail

fail() {
    echo "$1" >&2
    exit 2
}

usage="usage: cluster/start.sh head|worker HEAD[:PORT] [OPTIONS OF ray start]"
role=${1:-}
shift || fail "$usage"
command -v ray >/dev/null || fail "there is no command ray here; activate the environment that has smart-tuner"

export RAY_AUTH_MODE=token # Ray 2.60 asks for it on clusters only when told to
umask 077                  # a token is for its owner's eyes

case $role in
head)
    ray get-auth-token --generate >/dev/null
    exec ray start --head --port="${RAY_PORT:-6379}" --dashboard-host=127.0.0.1 --block "$@"
    ;;
worker)
    head=${1:-}
    [[ -n $head && $head != -* ]] || fail "$usage"
    shift
    [[ $head == *:* ]] || head+=:6379
    ray get-auth-token >/dev/null 2>&1 ||
        fail "this machine has no token; copy ~/.ray/auth_token from the head, or set RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN"
    exec ray start --address="$head" --block "$@"
    ;;
*)
    fail "$usage"
    ;;
esac
