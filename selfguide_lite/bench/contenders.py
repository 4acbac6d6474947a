"""One contender on one workload, run as `python -m selfguide_lite.bench.contenders NAME MODEL`; a line of JSON last.

Each gets a process of its own, so that none profits from what another has loaded, or suffers from it.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from selfguide_lite.bench import workloads
from selfguide_lite.bench.caches import caches
from selfguide_lite.bench.local_server import post, wait_for
from selfguide_lite.bench.objects import objects
from selfguide_lite.bench.prefixes import common_length, distinct_tokens
from selfguide_lite.core.machine import cores
from selfguide_lite.llm.base import Completion, Request
from selfguide_lite.llm.context_options import ContextOptions
from selfguide_lite.llm.llama import LlamaEngine
from selfguide_lite.llm.native import Context, Model
from selfguide_lite.llm.tuning import fast_weights, kept, load, open_tuned

Result = dict[str, Any]
_LIMIT = 30.0  # seconds after which a slow contender has shown its rate
_CLIENTS = 8


def tune(path: Path) -> Result:
    """Open the model once, so that what is fastest is measured and kept; tell what was chosen."""
    began = time.perf_counter()
    engine = open_tuned(path)
    tuning, parameters, name, size = asdict(engine.tuning), engine.info.parameters, engine.info.name, engine._model.size
    engine.close()
    return {
        "tuning": tuning,
        "parameters": parameters,
        "name": name,
        "bytes": size,
        "seconds": time.perf_counter() - began,
    }


# annotate


def annotate_engine(path: Path) -> Result:
    """This engine on the annotate workload. As for all contenders, one request has left the shared prefix behind."""
    engine = open_tuned(path, measure=False)
    requests = workloads.annotate(engine.count_tokens)
    before = [replace(r, key=f"before/{r.key}", n=1, max_tokens=2) for r in requests[: 2 * engine.tuning.workers]]
    list(engine.complete([replace(r, messages=f"{r.messages} and") for r in before]))
    had = engine.stats
    began = time.perf_counter()
    done = list(engine.complete(requests))
    seconds = time.perf_counter() - began
    tokens = sum(c.completion_tokens for c in done)
    prompts = [engine.prompt_tokens(request.messages) for request in requests]
    prefix = min(common_length(prompts[0], prompt) for prompt in prompts)
    stats = engine.stats
    answers = stats.branch_tokens - had.branch_tokens
    needed = distinct_tokens(prompts) - prefix + answers - (stats.repeated_tokens - had.repeated_tokens)
    return {
        "rate": tokens / seconds,
        "tokens": tokens,
        "seconds": seconds,
        "compute_share": (stats.compute_seconds - had.compute_seconds) / seconds / engine.tuning.workers,
        "waste": (stats.prompt_tokens - had.prompt_tokens + answers) / needed,
        "steps": stats.steps - had.steps,
    }


def annotate_loop(path: Path) -> Result:
    """What users write today: one call of `create_completion` after the other."""
    llama = _llama(path)
    requests = _annotate_requests(path)
    prompts = [str(request.messages) for request in requests]
    llama.create_completion(prompts[0], max_tokens=2)
    tokens, began = 0, time.perf_counter()
    for prompt in prompts:
        for sample in range(workloads.SAMPLES):
            tokens += _loop_call(llama, prompt, sample)
        if time.perf_counter() - began > _LIMIT:
            break
    seconds = time.perf_counter() - began
    return {"rate": tokens / seconds, "tokens": tokens, "seconds": seconds}


def annotate_server(path: Path) -> Result:
    """llama-cpp-python's own server with concurrent clients."""
    prompts = [str(request.messages) for request in _annotate_requests(path)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(path), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--n_ctx", "2048", "--verbose", "false"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}/v1"
    try:
        wait_for(server, f"{base}/models")
        work = [(prompt, sample) for prompt in prompts for sample in range(workloads.SAMPLES)]
        post(f"{base}/completions", {"prompt": prompts[0], "max_tokens": 2})
        began = time.perf_counter()

        def one(item: tuple[str, int]) -> int:
            if time.perf_counter() - began > _LIMIT:
                return 0
            body = {
                "prompt": item[0],
                "max_tokens": workloads.LENGTH,
                "temperature": 1.0,
                "top_k": 40,
                "top_p": 1.0,
                "min_p": 0.0,
                "seed": item[1],
            }
            return int(post(f"{base}/completions", body)["usage"]["completion_tokens"])

        with ThreadPoolExecutor(_CLIENTS) as pool:
            tokens = sum(pool.map(one, work))
        seconds = time.perf_counter() - began
    finally:
        server.terminate()
        server.wait(20)
    return {"rate": tokens / seconds, "tokens": tokens, "seconds": seconds}


def annotate_ceiling(path: Path) -> Result:
    """Bare calls of llama.cpp over the cached prefix: no sampling, no bookkeeping, the best setting of several."""
    model, _ = load(used := fast_weights(path))
    measured = kept(used, model) or []
    best: Result = {"rate": 0.0}
    measured.sort(key=lambda m: -m.decode)
    near = 0.85 if model.size < 2**29 else 1.0  # a large model is slow: only the way that was measured fastest
    ways = {
        (m.tuning.workers, m.tuning.threads, m.tuning.flash): m.tuning.parallel
        for m in measured
        if m.decode >= near * measured[0].decode
    }
    for (workers, threads, flash), parallel in (ways or {(1, cores(), False): 16}).items():
        requests = workloads.annotate(lambda text: len(model.vocabulary.tokenize(text)))
        prompts = [model.vocabulary.tokenize(str(request.messages)) for request in requests]
        prefix = min(common_length(prompts[0], prompt) for prompt in prompts)
        amounts = sorted({20, 40, parallel})
        cells = prefix + amounts[-1] * (workloads.OWN + workloads.LENGTH)
        options = ContextOptions(cells, 512, flash, threads, amounts[-1] + 2)
        contexts = [Context(model, options) for _ in range(workers)]
        falling = 0
        try:
            for context in contexts:
                _bare(context, [0], [prompts[0][:prefix]], 0)
            for together in amounts:
                rate = _wave(contexts, prompts, prefix, together)
                falling = falling + 1 if rate < best["rate"] else 0
                if rate > best["rate"]:
                    best = {"rate": rate, "workers": workers, "parallel": together, "flash": flash}
                if falling > 1:
                    break
        finally:
            for context in contexts:
                context.close()
    model.close()
    return best


def _wave(contexts: list[Context], prompts: list[list[int]], prefix: int, parallel: int) -> float:
    """Run `parallel` sequences in each context, ten of each prompt, to their end.

    :return: tokens a second of all contexts, their prompts' own tokens computed within the time
    """
    waves = max(1, 40 // parallel)

    def work(context: Context) -> None:
        rng = np.random.default_rng(0)
        for wave in range(waves):
            sequence, lengths = 1, {}
            groups = -(-parallel // workloads.SAMPLES)
            for group in range(groups):
                prompt = prompts[(wave * groups + group) % len(prompts)]
                context.copy(0, sequence, prefix)
                _bare(context, [sequence], [prompt[prefix:]], prefix)
                lengths[sequence] = len(prompt)
                members = min(workloads.SAMPLES, parallel - group * workloads.SAMPLES)
                for twin in range(sequence + 1, sequence + members):
                    context.copy(sequence, twin, len(prompt))
                    lengths[twin] = len(prompt)
                sequence += members
            numbers = np.array(list(lengths), np.int32)
            positions = np.array(list(lengths.values()), np.int32)
            context.seq[:parallel] = numbers
            context.output[:parallel] = 1
            for step in range(workloads.LENGTH - 1):
                context.token[:parallel] = rng.integers(3, context.model.vocabulary.size, parallel)
                context.pos[:parallel] = positions + step
                context.decode(parallel)
                context.synchronize()
            for number in numbers.tolist():
                context.cut(number)

    with ThreadPoolExecutor(len(contexts)) as pool:
        began = time.perf_counter()
        list(pool.map(work, contexts))
        return len(contexts) * waves * parallel * workloads.LENGTH / (time.perf_counter() - began)


def _bare(context: Context, sequences: list[int], texts: list[list[int]], position: int) -> None:
    tokens = texts[0]
    for start in range(0, len(tokens), 512):
        part = tokens[start : start + 512]
        context.token[: len(part)] = part
        context.pos[: len(part)] = np.arange(position + start, position + start + len(part))
        context.seq[: len(part)] = sequences[0]
        context.output[: len(part)] = 0
        context.output[len(part) - 1] = 1
        context.decode(len(part))


# the other workloads


def tree(path: Path) -> Result:
    """The sample tree against the same engine without it, in turns.

    `bound` is what the tree could save at most: tokens computed without it for each one computed with it.
    """
    stages = workloads.tree()
    seconds, computed = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    texts: dict[bool, dict[tuple[str, int], str]] = {True: {}, False: {}}
    tokens = nodes = 0
    with open_tuned(path, measure=False) as engine:
        _warm(engine)
        tuning = engine.tuning
        for requests in stages:
            for shared in (True, False):
                engine.forget()
                engine.tuning = replace(tuning, tree=shared)
                before = engine.stats
                began = time.perf_counter()
                done = list(engine.complete(requests))
                seconds[shared] += time.perf_counter() - began
                texts[shared] |= {(c.key, c.sample): c.text for c in done}
                stats = engine.stats
                answers = stats.branch_tokens - before.branch_tokens
                computed[shared] += stats.prompt_tokens - before.prompt_tokens + answers
                if shared:
                    tokens += sum(c.completion_tokens for c in done)
                    nodes += answers
    same = sum(texts[True][name] == texts[False][name] for name in texts[True]) / len(texts[True])
    return {
        "rate": tokens / seconds[True],
        "plain_rate": tokens / seconds[False],
        "tokens_per_node": tokens / max(1, nodes),
        "bound": computed[False] / computed[True],
        "same_texts": same,
    }


def score(path: Path) -> Result:
    """Label scoring against ten samples, inputs a second."""
    scored, sampled = workloads.classify()
    with open_tuned(path, measure=False) as engine:
        _warm(engine)
        engine.forget()
        began = time.perf_counter()
        list(engine.score(scored))
        scoring = time.perf_counter() - began
        engine.forget()
        began = time.perf_counter()
        list(engine.complete(sampled))
        sampling = time.perf_counter() - began
        engine.forget()
        engine.tuning = replace(engine.tuning, tree=False)
        began = time.perf_counter()
        list(engine.complete(sampled))
        plain = time.perf_counter() - began
    return {
        "rate": len(scored) / scoring,
        "sample_rate": len(sampled) / sampling,
        "plain_sample_rate": len(sampled) / plain,
    }


def generate_engine(path: Path) -> Result:
    """40 rounds of 10 new inputs by this engine.

    `bound` is the rate at which bare calls would do it: the tokens that have to be computed, each at the best rate that
    the measurement at first load found for its kind, both with the same settings.
    """
    with open_tuned(path, measure=False) as engine:
        _warm(engine)
        rounds = workloads.generate()
        began = time.perf_counter()
        done = [c for requests in rounds for c in engine.complete(requests)]
        seconds = time.perf_counter() - began
        prompts = distinct_tokens(
            [engine.prompt_tokens(request.messages) for requests in rounds for request in requests]
        )
        answers = sum(c.completion_tokens for c in done)
        measured = kept(fast_weights(path), engine._model) or []
        bare = min((prompts / entry.prefill + answers / entry.decode for entry in measured), default=0.0)
    return {"rate": len(done) / seconds, "tokens_rate": answers / seconds, "bound": len(done) / bare if bare else None}


def generate_loop(path: Path) -> Result:
    """The same prompts, one `create_completion` after the other."""
    with open_tuned(path, measure=False) as engine:
        rounds = [[engine.prompt_tokens(r.messages) for r in requests] for requests in workloads.generate()]
    llama = _llama(path)
    done = tokens = 0
    began = time.perf_counter()
    for prompts in rounds:
        for prompt in prompts:
            reply = llama.create_completion(prompt, max_tokens=120, temperature=0.8, top_k=40, top_p=1.0, min_p=0.0)
            tokens += reply["usage"]["completion_tokens"]
            done += 1
        if time.perf_counter() - began > _LIMIT:
            break
    seconds = time.perf_counter() - began
    return {"rate": done / seconds, "tokens_rate": tokens / seconds}


def growth(path: Path) -> Result:
    """Time and memory with ten times the requests."""
    with open_tuned(path, measure=False) as engine:
        _warm(engine)
        few = 40 if engine._model.size < 2**26 else 4

        def requests(number: int, name: str) -> Iterable[Request]:
            for n in range(number):
                text = "the answer is good and " * 8 + f"{name} {n}"
                yield Request(f"{name}/{n}", text, n=4, temperature=1.0, top_k=40, max_tokens=16, seed=1)

        process = psutil.Process()
        seconds: list[float] = []
        memory: list[int] = []
        _count(engine.complete(requests(few, "first")))
        for number in (few, few * 10):
            began = time.perf_counter()
            _count(engine.complete(requests(number, f"x{number}")))
            seconds.append(time.perf_counter() - began)
            memory.append(process.memory_info().rss)
    return {"time": seconds[1] / seconds[0], "memory": memory[1] / memory[0], "few": few}


def _count(done: Iterable[Completion]) -> int:
    return sum(1 for _ in done)


def _warm(engine: LlamaEngine) -> None:
    """The first calls of a context are slow for every contender: they get a few each."""
    requests = [Request(f"warm{n}", "hello", n=4, temperature=1.0, max_tokens=4) for n in range(engine.tuning.workers)]
    list(engine.complete(requests))
    engine.forget()


def _llama(path: Path) -> Any:
    import llama_cpp

    return llama_cpp.Llama(str(path), n_ctx=2048, n_gpu_layers=-1, verbose=False)


def _loop_call(llama: Any, prompt: str, sample: int) -> int:
    reply = llama.create_completion(
        prompt, max_tokens=workloads.LENGTH, temperature=1.0, top_k=40, top_p=1.0, min_p=0.0, seed=sample
    )
    return int(reply["usage"]["completion_tokens"])


def _annotate_requests(path: Path) -> list[Request]:
    model = Model(path, vocab_only=True)
    try:
        return workloads.annotate(lambda text: len(model.vocabulary.tokenize(text)))
    finally:
        model.close()


CONTENDERS: dict[str, Callable[[Path], Result]] = {
    function.__name__: function
    for function in (
        tune, annotate_loop, annotate_server, annotate_engine, annotate_ceiling, tree, score, objects, generate_loop,
        generate_engine, growth, caches,
    )
}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(CONTENDERS[sys.argv[1]](Path(sys.argv[2]))))
