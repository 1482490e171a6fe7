"""PyTorch's training step, for bench/step.ts, which starts this and takes turns with it.

    python step.py MODEL BATCHES THREADS

MODEL is a Transformers checkpoint, student and teacher in one; BATCHES a JSON file with settings and batches. Each line on
standard input is a number of steps; the answer is a line of JSON: their seconds, their losses, and the peak memory so far.
The teacher's logits and hidden states are computed once and given to the steps, as ours are.
"""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForSequenceClassification

folder, batches_file, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
plan = json.load(open(batches_file))
λ, o = plan["losses"], plan["optimiser"]

student = AutoModelForSequenceClassification.from_pretrained(folder)
student.eval()  # dropout is off on both sides

batches = []
for b in plan["batches"]:
    feeds = {name: torch.tensor(values).view(b["shape"]) for name, values in b["feeds"].items()}
    with torch.no_grad():
        said = student(**feeds, output_hidden_states=True)
    targets = dict(logits=said.logits, hidden=said.hidden_states[1:])
    batches.append((feeds, torch.tensor(b["labels"]), torch.tensor(b["mask"], dtype=torch.float32).view(b["shape"]), targets))

parameters = list(student.parameters())
groups = [dict(params=[p for p in parameters if p.ndim > 1], weight_decay=o["decay"]),
          dict(params=[p for p in parameters if p.ndim == 1], weight_decay=0.0)]
optimiser = torch.optim.AdamW(groups, lr=plan["rate"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"])


def step(batch):
    feeds, labels, mask, targets = batch
    out = student(**feeds, output_hidden_states=True)
    T = λ["temperature"]
    task = F.cross_entropy(out.logits, labels)
    logit = F.kl_div(F.log_softmax(out.logits / T, -1), F.log_softmax(targets["logits"] / T, -1), log_target=True,
                     reduction="batchmean") * T * T
    at = mask[:, :, None]
    token = 0
    for a, b in zip(out.hidden_states[1:], targets["hidden"]):
        token = token + (((a - b) * at) ** 2).sum() / ((b * at) ** 2).sum() / len(targets["hidden"])
    loss = λ["task"] * task + λ["logit"] * logit + λ["token"] * token
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, o["clip"])
    optimiser.step()
    optimiser.zero_grad()
    return loss.item()


done = 0
print("ready", flush=True)
for line in sys.stdin:
    begun, cpu = time.perf_counter(), time.process_time()
    losses = [step(batches[(done + i) % len(batches)]) for i in range(int(line))]
    done += int(line)
    answer = dict(seconds=time.perf_counter() - begun, cpu=time.process_time() - cpu, losses=losses,
                  peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    print(json.dumps(answer), flush=True)
