"""Processes forked from one that has imported TensorFlow: once for all of them."""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["keras"])
