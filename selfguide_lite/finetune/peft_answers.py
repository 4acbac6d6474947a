"""Answers inputs with a LoRA in PEFT's form, greedily. It needs no other file of this package: exports have a copy.

    python answer.py 'an input'
    python answer.py --jsonl < inputs.jsonl    # a JSON string a line; answers likewise
    python answer.py --cpu 'an input'

The folder has the LoRA, `base` with the model's own weights, and `prompt.json` with what stands before an input.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def messages(prompt: Any, given: str) -> list[dict[str, str]]:
    """Return the chat for an input."""
    own = prompt["input"]
    return [*prompt["messages"], {"role": own["role"], "content": f"{own['before']}{given.strip()}{own['after']}"}]


def answers(folder: Path, inputs: list[str], gpu: bool) -> Iterator[dict[str, Any]]:
    """Yield for each input the answer's text and the token ids of its prompt."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prompt = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    device, dtype = ("cuda", "auto") if gpu and torch.cuda.is_available() else ("cpu", torch.float32)
    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=dtype).to(device)
    model = PeftModel.from_pretrained(base, str(folder)).eval()
    ends = sorted({tokenizer.convert_tokens_to_ids(name) for name in prompt["stops"]})
    for given in inputs:
        text = tokenizer.apply_chat_template(
            messages(prompt, given), tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        ids = tokenizer(text, add_special_tokens=False).input_ids
        if tokenizer.bos_token_id is not None and getattr(tokenizer, "add_bos_token", False):
            ids = ids if ids[:1] == [tokenizer.bos_token_id] else [tokenizer.bos_token_id, *ids]
        with torch.inference_mode():
            made = model.generate(
                input_ids=torch.tensor([ids], device=model.device),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long, device=model.device),
                max_new_tokens=prompt["max_tokens"],
                do_sample=False,
                num_beams=1,
                repetition_penalty=1.0,
                eos_token_id=ends or None,
                pad_token_id=tokenizer.pad_token_id,
            )
        answer = tokenizer.decode(made[0][len(ids) :], skip_special_tokens=True)
        for stop in prompt["stop_texts"]:
            answer = answer.partition(stop)[0]
        yield {"text": answer.strip(), "prompt": ids}


def main() -> None:
    """Answer what is given on the command line, or each line of standard input."""
    words = sys.argv[1:]
    gpu = words[:1] != ["--cpu"]
    words = words if gpu else words[1:]
    folder = Path(__file__).parent
    if words[:1] == ["--folder"]:
        folder, words = Path(words[1]), words[2:]
    if words == ["--jsonl"]:
        for answer in answers(folder, [json.loads(line) for line in sys.stdin if line.strip()], gpu):
            print(json.dumps(answer), flush=True)
        return
    if len(words) != 1:
        sys.exit("usage: python answer.py 'an input'")
    for answer in answers(folder, words, gpu):
        print(answer["text"])


if __name__ == "__main__":
    main()
