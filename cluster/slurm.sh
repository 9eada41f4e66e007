#!/usr/bin/env bash
# A search on the nodes of a Slurm job, one raylet on each:
#
#   sbatch cluster/slurm.sh NAME --space smart_mtl --data DIR --trials 200          a new search
#   sbatch cluster/slurm.sh NAME --trials 400                                       more trials for one that is there
#
# Options of sbatch come before the script and replace those below: sbatch --nodes=8 --time=08:00:00 cluster/slurm.sh NAME ...
# The run is kept in $RUNS_DIR (runs), which all nodes must share. Two minutes before the time limit the search is asked to
# end, saves its running trials, and the job goes back into the queue; started again, it goes on where it was.
# Activate the environment that has smart-tuner before sbatch: the job inherits it.
#
#SBATCH --job-name=smart-tuner
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --no-kill
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# shellcheck disable=SC2317 # what traps call is reached
set -euo pipefail

fail() {
    echo "$1" >&2
    exit 2
}

[[ -n ${SLURM_JOB_ID:-} ]] || fail "this script is for Slurm: sbatch cluster/slurm.sh NAME [OPTIONS OF THE SEARCH]"
[[ $# -gt 0 && $1 != -* ]] || fail "usage: sbatch cluster/slurm.sh NAME [OPTIONS OF THE SEARCH]"
name=$1
shift
runs_dir=${RUNS_DIR:-runs}

export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')}
export RAY_AUTH_TOKEN # srun hands the environment on; command lines are for all to see, environments are not

search=
stopping=
on_term() {
    stopping=yes
    if [[ -n $search ]]; then kill -TERM "$search" 2>/dev/null || true; fi
}
stop_raylets() {
    local steps
    steps=$(jobs -p)
    # shellcheck disable=SC2086 # one word per process; srun hands the signal to its raylets
    if [[ -n $steps ]]; then kill -TERM $steps 2>/dev/null || true; fi
    wait
}
trap on_term TERM
trap stop_raylets EXIT

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]} # where this script runs
ip=${HEAD_IP:-$(hostname -I | cut -d' ' -f1)}
address=$ip:${RAY_PORT:-$((20000 + SLURM_JOB_ID % 10000))}
raylet=(--num-cpus="${SLURM_CPUS_PER_TASK:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --temp-dir="/tmp/ray-$SLURM_JOB_ID" --block)
step=(srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --overlap --no-kill --kill-on-bad-exit=0)

"${step[@]}" --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$ip" --port="${address#*:}" --dashboard-host=127.0.0.1 "${raylet[@]}" &
head_step=$!
until ray status --address="$address" >/dev/null 2>&1 || [[ -n $stopping ]]; do
    kill -0 "$head_step" 2>/dev/null || fail "the head of the Ray cluster did not start on $head; what it said stands above"
    sleep 2
done
others=$((${#nodes[@]} - 1))
if [[ $others -gt 0 ]]; then
    "${step[@]}" --nodes="$others" --ntasks="$others" --exclude="$head" \
        ray start --address="$address" "${raylet[@]}" &
fi

where=(--address "$address" --runs-dir "$runs_dir")
if [[ ! -e $runs_dir/$name/search.json ]]; then
    arguments=(--name "$name" "${where[@]}" "$@")
elif [[ ${SLURM_RESTART_COUNT:-0} -gt 0 ]]; then
    arguments=(--resume "$name" "${where[@]}") # the run has kept the rest
else
    arguments=(--resume "$name" "${where[@]}" "$@")
fi

status=130
if [[ -z $stopping ]]; then
    python -m tuner.search "${arguments[@]}" &
    search=$!
    if [[ -n $stopping ]]; then on_term; fi # it came before the search had a number
    while :; do # a signal ends `wait` before the search ends
        status=0
        wait "$search" || status=$?
        kill -0 "$search" 2>/dev/null || break
    done
fi

# Only what the time limit ended goes on: a search that came to its end has an exit status of its own, and a job that is
# cancelled hears SIGTERM too, but does not run any more.
if [[ -n $stopping && $status -gt 3 && $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]]; then
    echo "the time limit is near; job $SLURM_JOB_ID goes back into the queue, and the search $name goes on from there" >&2
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
