#!/bin/sh
# AWS_LAMBDA_EXEC_WRAPPER of a project with the packages of OpenTelemetry: what `opentelemetry-instrument` does, which the
# zip does not have. Lambda gives it the command that starts its own runtime.
export PYTHONPATH="${LAMBDA_TASK_ROOT}${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -c 'from opentelemetry.instrumentation.auto_instrumentation import run; run()' "$@"
