"""Compile time: the first process finds an empty cache, the second one what the first left."""

import os

from benchmarks import compile_time


def test_a_program_is_cold_in_an_empty_cache_and_warm_in_the_one_it_left(monkeypatch):
    seen = []

    def call(module, function, program, variant):
        cache = os.environ["JAX_COMPILATION_CACHE_DIR"]
        seen.append((program, os.listdir(cache)))
        open(os.path.join(cache, program), "w").close()
        return 1.5

    monkeypatch.setattr(compile_time.workers, "call", call)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    seconds = compile_time.measure(quick=True)
    assert seen == [x for p in compile_time.PROGRAMS for x in ((p, []), (p, [p]))]
    assert set(map(tuple, seconds.values())) == {(1.5,)}
