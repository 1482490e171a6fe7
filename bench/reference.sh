#!/usr/bin/env bash
# The PyTorch ZipLM reference of ../shared/peers on ../shared/models/minilm-sst2, timed on this machine:
#   bash bench/reference.sh [WORK] [one_shot.py's options]
#   bash bench/reference.sh /tmp/reference --targets 2
# WORK (default /tmp/reference) gets the checkpoint, the pruned models, the latency table and results.json. A latency table
# that is already there is taken again (--remeasure), so that the time is that of a whole run; the checkpoint is kept.
# PYTHON (default python3) needs torch, transformers==4.57.6, scipy, onnx and onnxruntime; bench/peers.md says how.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
shared=$root/../shared
model=$shared/models/minilm-sst2
work=${1:-/tmp/reference}
[ "$#" -eq 0 ] || shift
python=${PYTHON:-python3}

mkdir -p "$work"
[ -d "$work/model/torch" ] || "$python" "$root/bench/checkpoint.py" "$model" "$work/model"

# Written here, because the peers' own results.json is the default and holds the published run.
echo "reference: load $(cut -d' ' -f1 /proc/loadavg) before it begins"
begun=$(date +%s)
PYTHONDONTWRITEBYTECODE=1 "$python" "$shared/peers/one_shot.py" --model "$work/model" --data "$model" --out "$work/out" \
  --methods ziplm --targets 1.25,1.5,2,3 --table block --remeasure --results "$work/results.json" "$@"
echo "reference: $(($(date +%s) - begun)) s"

"$python" - "$work/results.json" <<'SCRIPT'
import json, sys
results = json.load(open(sys.argv[1]))
table, machine = results["table"], results["machine"]
print(f"{machine['cpu']}, {machine['cores']} cores, onnxruntime {machine['onnxruntime']}, torch {machine['torch']}; latency table {table['seconds']:.0f} s")
for key, r in results.items():
    if not key.startswith("ziplm@"):
        continue
    if "failed" in r:
        print(f"{key}: {r['failed']}")
        continue
    print(f"{key}: accuracy {100 * r['accuracy']:.2f}, x{r['speedup']:.2f} [{r['ci95'][0]:.2f}, {r['ci95'][1]:.2f}], "
          f"Hessians {r['hessian_seconds']:.1f} s, database {r['database_seconds']:.0f} s (FFN layer {r['obs_seconds_per_layer']['ffn']:.1f} s), search {r['search_seconds']:.0f} s")
SCRIPT
