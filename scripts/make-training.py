"""Train the tiny encoder of test/models/encoder.ts in PyTorch, for test/train/pytorch.test.ts to compare with.

    python scripts/make-training.py

Writes test/train/pytorch.jsonl: settings, batches, the teacher's and the student's weights, and for each case the losses
of 20 steps and the weights after them. Made with torch 2.13.0 on a CPU.
"""
import base64
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

out = pathlib.Path(__file__).parent.parent / "test" / "train" / "pytorch.jsonl"
LAYERS, HIDDEN, HEAD_DIM, VOCABULARY, POSITIONS, CLASSES = 2, 16, 4, 50, 32, 3
TEACHER, STUDENT = dict(heads=4, intermediate=24), dict(heads=3, intermediate=18)
STEPS, BATCH, SEQUENCE = 20, 4, 8
OPTIMISER = dict(beta1=0.9, beta2=0.999, epsilon=1e-8, decay=0.05, clip=0.7)
PEAK, WARMUP = 2e-3, 4


def weights(seed, heads, intermediate):
    draw = np.random.default_rng(seed)
    w = {}

    def matrix(name, *shape):
        w[name] = (draw.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    def norm(name):
        w[f"{name}.weight"] = (1 + draw.standard_normal(HIDDEN) / 8).astype(np.float32)
        w[f"{name}.bias"] = (draw.standard_normal(HIDDEN) / 8).astype(np.float32)

    def linear(name, a, b):
        matrix(f"{name}.weight", a, b)
        w[f"{name}.bias"] = (draw.standard_normal(b) / 8).astype(np.float32)

    matrix("embeddings.word", VOCABULARY, HIDDEN)
    matrix("embeddings.position", POSITIONS, HIDDEN)
    norm("embeddings.norm")
    for layer in range(LAYERS):
        for part in ("query", "key", "value"):
            linear(f"layer.{layer}.attention.{part}", HIDDEN, heads * HEAD_DIM)
        linear(f"layer.{layer}.attention.output", heads * HEAD_DIM, HIDDEN)
        norm(f"layer.{layer}.attention.norm")
        linear(f"layer.{layer}.mlp.up", HIDDEN, intermediate)
        linear(f"layer.{layer}.mlp.down", intermediate, HIDDEN)
        norm(f"layer.{layer}.mlp.norm")
    linear("classifier", HIDDEN, CLASSES)
    return w


def forward(w, ids, mask, heads):
    """Logits [b, classes] and the hidden states after each layer [b, s, hidden]."""
    b, s = ids.shape
    linear = lambda x, name: x @ w[f"{name}.weight"] + w[f"{name}.bias"]
    norm = lambda x, name: F.layer_norm(x, (HIDDEN,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)
    split = lambda x: x.view(b, s, heads, HEAD_DIM).transpose(1, 2)
    x = norm(w["embeddings.word"][ids] + w["embeddings.position"][:s], "embeddings.norm")
    bias = (1 - mask[:, None, None, :].float()) * -1e9
    states = []
    for layer in range(LAYERS):
        at = f"layer.{layer}.attention"
        q, k, v = (split(linear(x, f"{at}.{part}")) for part in ("query", "key", "value"))
        p = torch.softmax(q @ k.transpose(2, 3) / HEAD_DIM ** 0.5 + bias, -1)
        context = (p @ v).transpose(1, 2).reshape(b, s, heads * HEAD_DIM)
        x = norm(linear(context, f"{at}.output") + x, f"{at}.norm")
        up = F.gelu(linear(x, f"layer.{layer}.mlp.up"))
        x = norm(linear(up, f"layer.{layer}.mlp.down") + x, f"layer.{layer}.mlp.norm")
        states.append(x)
    return linear(x[:, 0], "classifier"), states


def losses(student, teacher, labels, mask, case):
    (z, hs), (t, ht) = student, teacher
    T = case["losses"]["temperature"]
    task = F.cross_entropy(z, labels)
    logit = F.kl_div(F.log_softmax(z / T, -1), F.log_softmax(t / T, -1), log_target=True, reduction="batchmean") * T * T
    at = mask.bool()
    token = 0
    for a, b in zip(hs, ht):
        error = F.mse_loss(a[at], b[at])
        token = token + (error / (b[at] ** 2).mean() if case["losses"]["relative"] else error) / LAYERS
    parts = dict(task=task, logit=logit, token=token)
    return sum(case["losses"][name] * part for name, part in parts.items()), parts


def rate(kind, done):
    """The schedules of transformers: a factor of the peak."""
    if done < WARMUP:
        return done / WARMUP
    p = (done - WARMUP) / (STEPS - WARMUP)
    return 1 - p if kind == "linear" else 0.5 * (1 + np.cos(np.pi * p))


def train(case, batches, teacher_weights, student_weights):
    teacher = {name: torch.tensor(value) for name, value in teacher_weights.items()}
    w = {name: torch.tensor(value, requires_grad=True) for name, value in student_weights.items()}
    decayed, kept = [p for p in w.values() if p.ndim > 1], [p for p in w.values() if p.ndim == 1]
    groups = [dict(params=decayed, weight_decay=OPTIMISER["decay"]), dict(params=kept, weight_decay=0.0)]
    optimiser = torch.optim.AdamW(groups, lr=PEAK, betas=(OPTIMISER["beta1"], OPTIMISER["beta2"]), eps=OPTIMISER["epsilon"])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: rate(case["schedule"], done))
    curve = []
    for step in range(STEPS):
        sums = dict(loss=0.0, task=0.0, logit=0.0, token=0.0)
        for i in range(case["accumulate"]):
            ids, mask, labels = batches[step * case["accumulate"] + i]
            with torch.no_grad():
                wanted = forward(teacher, ids, mask, TEACHER["heads"])
            loss, parts = losses(forward(w, ids, mask, STUDENT["heads"]), wanted, labels, mask, case)
            (loss / case["accumulate"]).backward()
            for name, value in dict(parts, loss=loss).items():
                sums[name] += value.item() / case["accumulate"]
        norm = torch.nn.utils.clip_grad_norm_(list(w.values()), OPTIMISER["clip"]).item()
        curve.append(dict(sums, norm=norm, rate=optimiser.param_groups[0]["lr"]))
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    return curve, {name: value.detach().numpy() for name, value in w.items()}


def packed(arrays):
    encode = lambda a: base64.b64encode(a.astype("<f4").tobytes()).decode()
    return {name: dict(shape=list(value.shape), data=encode(value)) for name, value in arrays.items()}


def main():
    torch.manual_seed(0)
    draw = np.random.default_rng(7)
    cases = [
        dict(name="distillation", accumulate=1, schedule="linear",
             losses=dict(task=0.3, logit=0.5, token=0.5, temperature=2.0, relative=False)),
        dict(name="relative tokens, two batches a step", accumulate=2, schedule="cosine",
             losses=dict(task=1.0, logit=0.25, token=1.0, temperature=1.0, relative=True)),
    ]
    batches = []
    for _ in range(STEPS * 2):
        lengths = draw.integers(2, SEQUENCE + 1, BATCH)
        mask = (np.arange(SEQUENCE) < lengths[:, None]).astype(np.int64)
        ids = draw.integers(1, VOCABULARY, (BATCH, SEQUENCE)) * mask
        batches.append(tuple(torch.tensor(a) for a in (ids, mask, draw.integers(0, CLASSES, BATCH))))
    teacher, student = weights(1, **TEACHER), weights(2, **STUDENT)
    for case in cases:
        case["curve"], final = train(case, batches, teacher, student)
        case["weights"] = packed(final)
    size = dict(layers=LAYERS, hidden=HIDDEN, headDim=HEAD_DIM, vocabulary=VOCABULARY, positions=POSITIONS, classes=CLASSES)
    document = dict(
        size=size, teacher=dict(TEACHER, weights=packed(teacher)), student=dict(STUDENT, weights=packed(student)),
        shape=[BATCH, SEQUENCE], peak=PEAK, warmup=WARMUP, steps=STEPS, optimiser=OPTIMISER,
        batches=[dict(ids=ids.flatten().tolist(), mask=mask.flatten().tolist(), labels=labels.tolist()) for ids, mask, labels in batches],
        cases=cases)
    out.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
