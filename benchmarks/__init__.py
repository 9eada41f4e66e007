"""Measurements that are repeated by hand; docs/log.md has their results."""
