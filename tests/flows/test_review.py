"""From a strange request to a person's word at a webhook: the command in processes of its own, HTTP from outside."""

import json
from pathlib import Path

import pytest

from petla.deployments.deploy import deploy
from tests.decisions.test_reviews import SECRET, receiving
from tests.deployments.tiny import MODEL, PROJECT, ROW, open_shop
from tests.flows.product import Product, petla
from tests.serving.test_broken_models import add_profiled_version


@pytest.mark.slow
def test_strange_request_is_answered_reviewed_and_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETLA_WEBHOOK_SECRET", SECRET)
    with receiving() as (address, kept):
        guards = f'[models.fraud.guards]\nwebhook = "{address}"\n[models.fraud.guards.unseen]\naction = "review"\n'
        ws = open_shop(tmp_path, PROJECT + guards)
        deploy(ws, MODEL, add_profiled_version(ws), actor="ada")
        with Product(tmp_path) as product:
            answer = product.post(f"/predict/{MODEL}", ROW | {"country": "XX"})
            (waiting,) = product.wait_for(
                lambda: json.loads(petla(tmp_path, "reviews", "list", "--json").stdout) or None
            )
            said = petla(tmp_path, "reviews", "decide", answer["id"], "--answer", "false", "--reason", "called her")
            twice = petla(tmp_path, "reviews", "decide", answer["id"], "--answer", "true", "--reason", "again")
            body = json.loads(product.wait_for(lambda: kept.bodies[0] if kept.bodies else None))
            shown = json.loads(petla(tmp_path, "decisions", "show", answer["id"]).stdout)

    assert answer["flags"] == ["unseen", "review"]
    assert (waiting["id"], waiting["state"]) == (answer["id"], "waiting")
    assert (said.returncode, twice.returncode) == (0, 1)
    assert "the webhook is told" in said.stdout
    assert (body["id"], body["answer"], body["decided_by"], body["reason"]) == (
        answer["id"],
        False,
        "ann",
        "called her",
    )
    assert (shown["label"], shown["review"]["answer"]) == (True, False)
