#!/bin/sh
# The handler of a function behind the Lambda Web Adapter: the layer's /opt/bootstrap starts it.
cd "${LAMBDA_TASK_ROOT:-.}" || exit
# with the packages of OpenTelemetry, what sets a provider comes first
exec ${COATCHECK_EXEC_WRAPPER:-} python3 -m coatcheck_service --port "${AWS_LWA_PORT:-8080}"
