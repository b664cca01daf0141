"""No request that can be made from the OpenAPI document is answered by an error of ours, or otherwise than it says."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.contract.campaign import run_piece, served


def test_each_answer_is_one_of_the_document(tmp_path: Path) -> None:
    """A short form of `make hostile`."""
    with served(tmp_path) as api:
        piece = run_piece(api, tmp_path, examples=4, seed=1, phases=("examples", "fuzzing", "stateful"))
    assert piece.passed, piece.said
    assert piece.cases >= 100
