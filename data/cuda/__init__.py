"""Compiles llama.cpp for an NVIDIA card on a machine that has none: `make cuda-build-check`.

The sources are those of the pinned llama-cpp-python, the compiler and cuBLAS are the pinned packages that `selfguide
setup --cuda-packages` takes. Nothing is installed, and nothing is run on a card.
"""
