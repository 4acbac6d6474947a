"""Sets up what a plain install leaves out: llama.cpp built for this machine, what finetuning needs, the default model.

`look` sees what is there, `make_plan` says what to do, `carry_out` does it.
"""
