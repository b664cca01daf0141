"""Translates the template to what CloudFormation gets, for linters and scanners.

A wrong value in a SAM template is often valid by SAM's own schema, and wrong only in what SAM generates from it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

from coatcheck_infra.template import read_template


def translate_template(
    parameters: dict[str, str] | None = None, template: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Translate ours, or the template of a project, offline, as for us-east-1.

    Parameters that are not given have their defaults.
    """
    template = copy.deepcopy(template) if template else read_template()
    for resource in template["Resources"].values():
        if zipped := resource.get("Properties", {}).get("CodeUri"):
            # `sam deploy` puts the URL of the uploaded zip here
            resource["Properties"]["CodeUri"] = f"s3://uploaded/{Path(zipped).name}"
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name="us-east-1"))
    made: dict[str, Any] = translator.translate(template, parameter_values=dict(parameters or {}))
    return made
