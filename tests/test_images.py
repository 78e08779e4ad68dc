"""The images of the Acme world: does truth.yaml agree with world.yaml, with itself, and with the files?"""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

DATA = Path(__file__).parents[1] / "data"
IMAGES = DATA / "images"
TRUTH: dict[str, dict[str, Any]] = yaml.safe_load((IMAGES / "truth.yaml").read_text("utf-8"))
WORLD = yaml.safe_load((DATA / "world.yaml").read_text("utf-8"))
RECEIPTS = {file: about for file, about in TRUTH.items() if about["kind"] == "receipt"}
SCREENS = {file: about for file, about in TRUTH.items() if about["kind"] == "screenshot"}
TENANTS = {facts["name"]: facts for facts in WORLD["tenants"].values()}


def money(value: float | None) -> Decimal:
    return Decimal(str(value or 0))


def adds_up(fields: dict[str, Any]) -> bool:
    """Whether the lines give the total, with the tax inside the prices or on top of them."""
    lines = sum((money(one["amount"]) for one in fields["items"]), Decimal(0))
    if any(money(one["quantity"]) * money(one["unit_price"]) != money(one["amount"]) for one in fields["items"]):
        return False
    if fields["subtotal"] is not None and money(fields["subtotal"]) != lines:
        return False
    before = lines - money(fields["discount"]) + money(fields["tip"])
    return money(fields["total"]) in (before, before + money(fields["tax"]))


def test_every_file_is_in_the_truth_and_the_other_way_round() -> None:
    assert {path.name for path in IMAGES.iterdir()} == {*TRUTH, "truth.yaml"}
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < 6_000_000
    assert len(RECEIPTS) >= 30 and len(SCREENS) == 12 and sum(one["kind"] == "pdf" for one in TRUTH.values()) == 1


def test_images_can_be_opened_and_are_of_modest_size() -> None:
    for file in (*RECEIPTS, *SCREENS):
        with Image.open(IMAGES / file) as image:
            image.load()
            assert 500 <= max(image.size) <= 1_900, file


@pytest.mark.parametrize("file", RECEIPTS)
def test_a_receipt_adds_up_unless_the_truth_says_that_it_does_not(file: str) -> None:
    assert adds_up(RECEIPTS[file]["fields"]) is RECEIPTS[file]["adds_up"]


def test_some_do_not_add_up_and_some_carry_an_order() -> None:
    assert sum(not one["adds_up"] for one in RECEIPTS.values()) == 3
    assert sum("printed_order" in one for one in RECEIPTS.values()) == 3


def test_layouts_are_split_whole_and_every_effect_is_in_both_halves() -> None:
    halves = {name: {one["split"] for one in RECEIPTS.values() if one["layout"] == name} for name in
              {one["layout"] for one in RECEIPTS.values()}}  # fmt: skip
    assert all(len(half) == 1 for half in halves.values())
    assert Counter(next(iter(half)) for half in halves.values()) == {"tune": 6, "test": 6}
    for half in ("tune", "test"):
        assert {one["effect"] for one in RECEIPTS.values() if one["split"] == half} == {
            "flat", "rotated", "crumpled", "faint", "photographed",
        }  # fmt: skip


def test_acme_sells_its_products_at_its_prices() -> None:
    seen = 0
    for file, about in RECEIPTS.items():
        if facts := TENANTS.get(re.sub(r"\s+", " ", about["fields"]["merchant"])):
            prices = {one["name"]: one["price"] for one in facts["products"].values()}
            assert about["fields"]["currency"] == facts["currency"], file
            for item in about["fields"]["items"]:
                assert prices[item["description"]] == item["unit_price"], (file, item)
                seen += 1
    assert seen >= 20


def test_screens_show_the_codes_of_their_app() -> None:
    for file, about in SCREENS.items():
        assert about["fields"]["error_code"] in TENANTS[about["fields"]["app"]]["errors"], file
    assert {about["dark"] for about in SCREENS.values()} == {True, False}


def test_the_pdf_says_what_the_world_says() -> None:
    pages = TRUTH["acme-home.pdf"]["pages"]
    facts = WORLD["tenants"]["acme-home"]
    assert len(pages) == 3 and pages[0]["fields"]["warranty_months"] == facts["policy"]["warranty_months"]
    assert {one["code"]: one["meaning"] for one in pages[2]["fields"]["errors"]} == facts["errors"]
    assert adds_up(pages[1]["fields"])


def test_dates_are_before_today_and_cannot_be_read_in_two_ways() -> None:
    for about in RECEIPTS.values():
        assert about["fields"]["date"] < str(WORLD["today"]) and int(about["fields"]["date"][-2:]) > 12


def test_everything_is_fiction() -> None:
    texts = [path.read_text("utf-8") for path in (DATA / "drawing").glob("*.py")]
    for text in [*texts, (DATA / "make_images.py").read_text("utf-8")]:
        for phone in re.findall(r"\+\d[\d-]{8,}", text):
            assert re.fullmatch(r"\+1-555-01\d\d|\+49-30-555-01\d\d", phone), phone
        for domain in re.findall(r"[\w.-]+@([\w.-]+\w)", text):
            assert domain.endswith(".example"), domain


def test_the_same_bytes_come_out_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DATA / "make_images.py", tmp_path], check=True, timeout=120)

    def sums(folder: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    assert sums(tmp_path) == sums(IMAGES)
