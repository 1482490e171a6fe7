#!/usr/bin/env bash
# Our workflows and action.yml against their schemas, and against zizmor's audits, without any network but PyPI's:
#   bash scripts/lint-workflows.sh [TOOLS]
# TOOLS (default node_modules/.cache/workflow-tools) holds the linters, in a Python environment of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(bash scripts/workflow-tools.sh "${1:-}")

"$tools/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$tools/check-jsonschema" --builtin-schema vendor.github-actions action.yml
"$tools/zizmor" --config .github/zizmor.yml --offline --no-progress .github/workflows action.yml
for workflow in .github/workflows/*.yml; do
  "$tools/act" --validate --strict -W "$workflow"
done
