#!/usr/bin/env python3
"""PyTorch as the peer on a GPU: plain greedy decoding of LLaMA2-7B's shapes, batch 1.

  pip install torch
  xtask/peers/pytorch.py --check                                 # 7B in f16 on the CUDA device
  xtask/peers/pytorch.py --model tiny --device cpu --dtype f32   # does the script itself work?

eager     the step as Hugging Face transformers writes it: a module for each matrix, a cache that
          grows by torch.cat, no compilation
compiled  as gpt-fast does it: q, k and v in one matrix, a static cache of --context positions
          masked by position, torch.compile in the mode that replays a CUDA graph for each token
verify    the time of a compiled step of 26 new tokens, each seeing those before it, in steps of one

Weights are random: time depends on the shapes alone. Only steps are timed, not the prompt. No step
waits for the host to see a token, so a user of PyTorch gets at most these tokens/s. A first call
includes compilation; it is shorter where PyTorch's own cache on disk has the kernels.
"""

import argparse
import json
import sys
import time
from functools import partial
from statistics import median
from typing import NamedTuple

# An older torch.compile refuses to be told which attention to use.
NEEDED = "PyTorch 2.7 or later is needed (`pip install torch`)"

try:
    import torch
    import torch._inductor.config
    from torch import nn
    from torch._dynamo.exc import TorchDynamoException
    from torch._dynamo.utils import counters
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention, silu
except (ImportError, OSError) as error:
    sys.exit(f"{NEEDED}: {error}")

MODES = ("eager", "compiled", "verify")
DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}
TOLERANCES = {"f16": 2e-2, "bf16": 1e-1, "f32": 1e-4}
SETTINGS = ("model", "dtype", "prompt", "tokens", "repeats", "context")
VERIFY_ROWS = 26


class Shape(NamedTuple):
    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocab: int


SHAPES = {"llama2-7b": Shape(32, 4096, 32, 11008, 32000), "tiny": Shape(2, 64, 4, 176, 256)}


def random_weights(shape, device, dtype):
    generator = torch.Generator(device).manual_seed(0)
    hidden, intermediate = shape.hidden, shape.intermediate

    def matrix(rows, columns):
        empty = torch.empty(rows, columns, device=device, dtype=dtype)
        return empty.normal_(0.0, 0.02, generator=generator)

    def layer():
        return {
            "qkv": matrix(3 * hidden, hidden),
            "o": matrix(hidden, hidden),
            "gate": matrix(intermediate, hidden),
            "up": matrix(intermediate, hidden),
            "down": matrix(hidden, intermediate),
        }

    return {
        "embedding": matrix(shape.vocab, hidden),
        "layers": [layer() for _ in range(shape.layers)],
        "head": matrix(shape.vocab, hidden),
    }


def linear(weight):
    """A module around a shared tensor: two models of 7B each need the memory of one."""
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    module.weight = nn.Parameter(weight, requires_grad=False)
    return module


class RmsNorm(nn.Module):
    def __init__(self, like):
        super().__init__()
        self.weight = nn.Parameter(like.new_ones(like.shape[-1]), requires_grad=False)

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)
        return self.weight * wide.to(x.dtype)


class GrowingCache:
    projections = 3

    def attend(self, q, k, v, positions, mask):
        if starts := q.shape[-2] > 1:  # Only a prompt has several rows here.
            self.keys, self.values = k, v
        else:
            self.keys = torch.cat((self.keys, k), dim=-2)
            self.values = torch.cat((self.values, v), dim=-2)
        return scaled_dot_product_attention(q, self.keys, self.values, is_causal=starts)


class StaticCache(nn.Module):
    """Of buffers, since a CUDA graph may write only where it always does."""

    projections = 1

    def __init__(self, shape, context, like):
        super().__init__()
        size = (1, shape.heads, context, shape.hidden // shape.heads)
        self.register_buffer("keys", like.new_zeros(size))
        self.register_buffer("values", like.new_zeros(size))

    def attend(self, q, k, v, positions, mask):
        self.keys[:, :, positions] = k
        self.values[:, :, positions] = v
        # The plain formula, which the compiler fuses: it would only call any other.
        with sdpa_kernel(SDPBackend.MATH):
            return scaled_dot_product_attention(q, self.keys, self.values, attn_mask=mask)


def rotated(x, cos, sin):
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


class Layer(nn.Module):
    def __init__(self, shape, weights, cache):
        super().__init__()
        self.heads, self.cache = shape.heads, cache
        self.qkv = nn.ModuleList(map(linear, weights["qkv"].chunk(cache.projections)))
        self.o, self.gate, self.up, self.down = (linear(weights[n]) for n in ("o", "gate", "up", "down"))
        self.attention_norm, self.mlp_norm = RmsNorm(weights["o"]), RmsNorm(weights["o"])

    def project(self, x):
        if len(self.qkv) == 1:
            return self.qkv[0](x).chunk(3, dim=-1)
        return [matrix(x) for matrix in self.qkv]

    def attention(self, x, cos, sin, positions, mask):
        rows = x.shape[1]
        q, k, v = (p.view(1, rows, self.heads, -1).transpose(1, 2) for p in self.project(x))
        out = self.cache.attend(rotated(q, cos, sin), rotated(k, cos, sin), v, positions, mask)
        return self.o(out.transpose(1, 2).reshape(1, rows, -1))

    def forward(self, x, *where):
        x = x + self.attention(self.attention_norm(x), *where)
        normed = self.mlp_norm(x)
        return x + self.down(silu(self.gate(normed)) * self.up(normed))


class Llama(nn.Module):
    def __init__(self, shape, weights, context, new_cache):
        super().__init__()
        like = weights["embedding"]
        self.embedding = nn.Embedding.from_pretrained(like)
        self.layers = nn.ModuleList(Layer(shape, w, new_cache()) for w in weights["layers"])
        self.norm, self.head = RmsNorm(like), linear(weights["head"])
        head_dim = shape.hidden // shape.heads
        frequencies = 10000.0 ** -(torch.arange(0, head_dim, 2, device=like.device) / head_dim)
        angles = torch.outer(torch.arange(context, device=like.device), frequencies).repeat(1, 2)
        self.register_buffer("cos", angles.cos().to(like.dtype))
        self.register_buffer("sin", angles.sin().to(like.dtype))
        seen = torch.ones(context, context, dtype=torch.bool, device=like.device).tril()
        self.register_buffer("seen", seen)

    def forward(self, tokens, positions):
        where = self.cos[positions], self.sin[positions], positions, self.seen[positions]
        x = self.embedding(tokens[None])
        for layer in self.layers:
            x = layer(x, *where)
        return self.head(self.norm(x))


def seconds(work):
    """How long the work takes until the device has done it."""
    wait = torch.cuda.synchronize if torch.cuda.is_initialized() else (lambda: None)
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def seconds_of_call(call, calls=10, samples=7):
    """The median of samples of several calls each, so that the host launches ahead."""

    def run():
        for _ in range(calls):
            call()

    run()
    return median(seconds(run) for _ in range(samples)) / calls


class Peer:
    """A model on one random text, whose step runs as it is written or compiled."""

    def __init__(self, model, options, compiled):
        self.model, self.prompt = model, options.prompt
        generator = torch.Generator().manual_seed(0)
        text = torch.randint(model.embedding.num_embeddings, (options.context,), generator=generator)
        self.text = text.to(options.device)
        self.positions = torch.arange(options.context, device=options.device)
        self.written = self.step = self.logits_and_tokens
        if compiled:
            # Not dynamic: each number of rows has a graph of its own.
            self.step = torch.compile(self.step, mode="reduce-overhead", fullgraph=True, dynamic=False)

    def logits_and_tokens(self, tokens, positions):
        logits = self.model(tokens, positions)
        return logits, logits[0].argmax(-1)

    def block(self, start, rows):
        """Rows of the text and their positions: copies, as `decode` counts in place."""
        end = start + rows
        return self.text[start:end].clone(), self.positions[start:end].clone()

    def prefill(self):
        """Runs the prompt, never compiled; returns the first new token and its position."""
        tokens = self.written(*self.block(0, self.prompt))[1]
        return tokens[-1:].clone(), self.block(self.prompt, 1)[1]

    def first_call(self, rows):
        self.prefill()
        return seconds(lambda: self.step(*self.block(self.prompt, rows)))

    def decode(self, token, position, count):
        for _ in range(count):
            # A copy, since replaying a CUDA graph overwrites what it returned.
            token = self.step(token, position)[1].clone()
            position += 1

    def tokens_per_second(self, count):
        start = self.prefill()
        return count / seconds(lambda: self.decode(*start, count))

    def logits(self, rows_at_once):
        """Of a block after the prompt, in steps of so many rows."""
        self.prefill()
        starts = range(self.prompt, self.prompt + VERIFY_ROWS, rows_at_once)
        blocks = (self.block(start, rows_at_once) for start in starts)
        return torch.cat([self.step(*block)[0].clone() for block in blocks], dim=1)


def decoding(peer, options, bytes_per_token, bandwidth):
    first_call = peer.first_call(1)
    peer.tokens_per_second(options.tokens)  # The second call records the CUDA graph.
    speed = median(peer.tokens_per_second(options.tokens) for _ in range(options.repeats))
    return {
        "tokens_per_second": speed,
        "first_call_seconds": first_call,
        "share_of_bandwidth": speed * bytes_per_token / bandwidth,
    }


def verification(peer):
    first_call = peer.first_call(VERIFY_ROWS)

    def step_seconds(rows):
        block = peer.block(peer.prompt, rows)
        return seconds_of_call(lambda: peer.step(*block))

    one, many = step_seconds(1), step_seconds(VERIFY_ROWS)
    return {
        "rows": VERIFY_ROWS,
        "steps_of_one_row": many / one,
        "milliseconds": many * 1e3,
        "milliseconds_of_one_row": one * 1e3,
        "first_call_seconds": first_call,
    }


def check(peers, options):
    """How far the compiled steps' logits are from the eager one's, in parts of the largest."""
    expected = peers["eager"].logits(1).float()
    allowed = TOLERANCES[options.dtype]
    checked = {"difference_allowed": allowed, "passed": True}
    for name, rows in (("compiled", 1), ("verify", VERIFY_ROWS)):
        found = peers["compiled"].logits(rows).float()
        difference = ((found - expected).abs().max() / expected.abs().max()).item()
        checked[f"difference_{name}"] = difference
        checked["passed"] &= difference <= allowed  # False for NaN too.
    return checked


def configure():
    torch.set_grad_enabled(False)
    # As gpt-fast does: a row times a matrix becomes a tuned reduction in place of a GEMM.
    torch._inductor.config.coordinate_descent_tuning = True
    # Else the plain formula of attention widens the whole cache to f32 in each step.
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)


def read_bandwidth(device):
    """Bytes a second of a sum, which reads all of a buffer and writes one number; and its name."""
    mebibytes = 2048 if device == "cuda" else 256
    buffer = torch.ones(mebibytes << 18, device=device, dtype=torch.float32)
    return buffer.nbytes / seconds_of_call(buffer.sum), f"torch.sum of {mebibytes} MiB of f32"


def new_peers(options):
    shape, context = SHAPES[options.model], options.context
    weights = random_weights(shape, options.device, DTYPES[options.dtype])
    static_cache = partial(StaticCache, shape, context, weights["embedding"])
    eager = Llama(shape, weights, context, GrowingCache)
    compiled = Llama(shape, weights, context, static_cache)
    return {"eager": Peer(eager, options, False), "compiled": Peer(compiled, options, True)}


def measured(options):
    configure()
    cuda = options.device == "cuda"
    bandwidth, measured_by = read_bandwidth(options.device)
    peers = new_peers(options)
    model = peers["eager"].model
    weight_bytes = sum(p.nbytes for p in model.parameters())
    bytes_per_token = weight_bytes - model.embedding.weight.nbytes  # Of which a token reads a row.
    report = {
        "peer": "PyTorch",
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        **{name: getattr(options, name) for name in SETTINGS},
        "weight_bytes": weight_bytes,
        "weight_bytes_read_per_token": bytes_per_token,
        "read_gigabytes_per_second": bandwidth / 1e9,
        "read_measured_by": measured_by,
    }
    for mode in options.modes:
        if mode == "verify":
            report[mode] = verification(peers["compiled"])
        else:
            report[mode] = decoding(peers[mode], options, bytes_per_token, bandwidth)
    if options.check:
        report["check"] = check(peers, options)
    if cuda:  # Unless it is 0, `compiled` is not what it is meant to be.
        report["cuda_graphs_skipped"] = counters["inductor"]["cudagraph_skips"]
    return report


def print_table(report, prefix=""):
    for name, value in report.items():
        if isinstance(value, dict):
            print_table(value, f"{name}: ")
        else:
            print(f"{prefix + name:32} {f'{value:.5g}' if isinstance(value, float) else value}")


def modes(text):
    asked = text.split(",")
    if unknown := [mode for mode in asked if mode not in MODES]:
        raise argparse.ArgumentTypeError(f"no mode `{unknown[0]}`: use {', '.join(MODES)}")
    return [mode for mode in MODES if mode in asked]


def at_least(least):
    def number(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"`{text}` is not a number of at least {least}")
        return int(text)

    return number


def parsed():
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    add = parser.add_argument
    add("--model", choices=SHAPES, default="llama2-7b")
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--dtype", choices=DTYPES, default="f16")
    add("--modes", type=modes, default=",".join(MODES), help="which to measure (%(default)s)")
    add("--prompt", type=at_least(2), default=32, help="tokens before the timed ones (%(default)s)")
    add("--tokens", type=at_least(1), default=128, help="tokens timed (%(default)s)")
    add("--repeats", type=at_least(1), default=3, help="of which to take the median (%(default)s)")
    add("--context", type=at_least(1), default=1024, help="the cache's positions (%(default)s)")
    add("--check", action="store_true", help="compare the logits too, exit with 1 if they differ")
    add("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    needed = options.prompt + max(options.tokens, VERIFY_ROWS)
    if options.context < needed:
        parser.error(f"--context is {options.context}, but {needed} positions are needed")
    return options


def main():
    options = parsed()
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 7):
        sys.exit(f"{NEEDED}: this is {torch.__version__}")
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} finds no CUDA device (--device cpu runs without)")
    try:
        report = measured(options)
    except torch.OutOfMemoryError:
        sys.exit(f"{options.model} in {options.dtype} does not fit this device's memory")
    except TorchDynamoException as error:
        sys.exit(f"torch.compile failed: {str(error).strip().splitlines()[0]}")
    if options.json:
        print(json.dumps(report))
    else:
        print_table(report)
    if options.check and not report["check"]["passed"]:
        sys.exit("The logits of the compiled steps differ too much from the eager one's")


if __name__ == "__main__":
    main()
