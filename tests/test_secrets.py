"""What no message may show."""

from __future__ import annotations

import pickle

import pytest

from distreg.exceptions import DataError, InputError
from distreg.pipeline.config import build_config, safe_name
from distreg.pipeline.document import Document
from distreg.pipeline.results import effective_file
from distreg.secrets import mask

HIDDEN = [
    "https://h/d.parquet?sig=CANARY",
    "https://h/d.parquet?sv=1&sig=CANARY&se=2",
    "https://h/d.parquet?X-Amz-Signature=CANARY",
    "https://h/d.parquet?password=CANARY",
    "https://h/d.parquet?pwd=CANARY",
    "https://h/d.parquet?access_token=CANARY",
    "https://user:CANARY@h/d.parquet",
    "https://u:p@CANARY@h/d.parquet",
    "postgresql+psycopg2://u:CANARY@h:5432/db",
]
SHOWN = ["https://h/d.parquet?part=1", "runs/a@b", "a = 1", "no such column: 'monkey'"]


@pytest.mark.parametrize("text", HIDDEN)
def test_secrets_are_masked(text: str) -> None:
    assert "CANARY" not in mask(f"cannot read {text!r} twice ({text})")
    assert "***" in mask(text)
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize("text", SHOWN)
def test_other_text_is_left_alone(text: str) -> None:
    assert mask(text) == text


def test_given_secrets_are_masked_anywhere() -> None:
    assert mask("the word is CANARY.", ["CANARY"]) == "the word is ***."


@pytest.mark.parametrize("kind", [InputError, DataError])
def test_errors_mask_themselves(kind: type[InputError]) -> None:
    error = kind(f"{HIDDEN[0]} does not answer")
    assert str(error) == "https://h/d.parquet?sig=*** does not answer"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own bytes
    assert kind(1, "b").args == (1, "b")


@pytest.mark.parametrize("url", HIDDEN)
def test_the_stored_pipeline_is_masked(url: str) -> None:
    document = Document()
    document.set("data.path", url, "DATA")
    document.set("data.target", "y", "DATA")
    document.set("name", "a", "DATA")
    text = effective_file(build_config(document))
    assert "CANARY" not in text
    assert "***" in text


def test_a_name_made_of_a_url_has_no_query() -> None:
    assert safe_name("https://h/flights.csv?sig=CAN.ARY") == "flights"
    assert safe_name("what?.csv") == "what-"
