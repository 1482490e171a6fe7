"""Errors of pruned levels in float64, for bench/obs.ts: what our pass left, beside the exact refit of the same mask.

    python oracle.py FOLDER

FOLDER holds W.npy [rows, n], H.npy [n, n], and for each level K.wt.npy, the transposed weights of the kept columns, and
K.columns.npy, their indices. Prints JSON: [{units, error, refit}], errors relative to tr(W H W'), largest width first.
The refit is min over the weights of the kept columns of tr((V - W) H (V - W)'), by Cholesky of H at the kept columns.
"""
import json
import pathlib
import sys

import numpy as np
import torch

folder = pathlib.Path(sys.argv[1])
double = lambda name: torch.from_numpy(np.load(folder / name)).double()
W, H = double("W.npy"), double("H.npy")
energy = lambda D: float(((D @ H) * D).sum())
total, WH = energy(W), W @ H

out = []
for file in sorted(folder.glob("*.columns.npy"), key=lambda f: -int(f.name.split(".")[0])):
    units = int(file.name.split(".")[0])
    kept = torch.from_numpy(np.load(file)).long()
    change = -W
    change[:, kept] += double(f"{units}.wt.npy").T
    # The refit's error without its weights: tr(W H W') - tr(B A^-1 B') with A = H at the kept columns, B = (W H) at them, summed
    # as the error that is left at the removed columns, so that nothing cancels.
    gone = torch.ones(len(H), dtype=torch.bool)
    gone[kept] = False
    factor = torch.linalg.cholesky(H[kept][:, kept])
    half = torch.linalg.solve_triangular(factor, H[kept][:, gone], upper=False)
    schur = H[gone][:, gone] - half.T @ half
    removed = W[:, gone]
    out.append(dict(units=units, error=energy(change) / total, refit=float(((removed @ schur) * removed).sum()) / total))
print(json.dumps(out))
