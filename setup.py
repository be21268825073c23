"""Builds the C engine; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("engine/csrc")

setup(
    ext_modules=[
        # A plain C library, loaded with ctypes: it needs a C compiler but no Python headers.
        Extension(
            "engine._gpt2",
            sources=sorted(map(str, SOURCES.glob("*.c"))),
            depends=sorted(map(str, SOURCES.glob("*.h"))),
            define_macros=[("_POSIX_C_SOURCE", "200809L")],
            # Contraction into FMA would let the result depend on the processor.
            extra_compile_args=[
                "-std=c11",
                "-O3",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fvisibility=hidden",
                "-pthread",
                "-Wall",
                "-Wextra",
                "-Wno-psabi",
            ],
            extra_link_args=["-pthread"],
            libraries=["m"],
        )
    ]
)
