"""BLAS threads."""

import threadpoolctl

from hr2jax.machine.threads import few_threads


def test_blas_threads_are_few_within_only():
    def threads():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    with few_threads(100):
        assert set(threads()) <= {1}
    assert threads() == before
    with few_threads(5000):
        assert threads() == before
