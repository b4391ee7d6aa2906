"""Labels in file names, copies of an image, and spellings of persons."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_tables import read, same

from arcage.data.labels import Label, is_number, label_from_name, merge, person_key


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("25_0_2_20170116174525125.jpg.chip.jpg", Label(25, 0, group="Asian")),
        ("1_1_0_20161219140623097.jpg", Label(1, 1, group="White")),
        ("116_1_4_20170112213500903.jpg.chip.jpg", Label(116, 1, group="Others")),
        ("0_0_3_20170116174525125.png", Label(0, 0, group="Indian")),
        ("120_0_1_20170116174525125.png", Label(120, 0, group="Black")),
        ("part1/deep/25_0_2_20170116174525125.jpg", Label(25, 0, group="Asian")),
        # From the data set: without a race, without a dot, with a blank.
        ("61_1_20170109142408075.jpg.chip.jpg", Label(61, 1)),
        ("61_1_20170109150557335.jpg.chip.jpg", Label(61, 1)),
        ("39_1_20170116174525125.jpg.chip.jpg", Label(39, 1)),
        ("55_0_0_20170116232725357jpg.chip.jpg", Label(55, 0, group="White")),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", Label(24, 0, group="Black")),
        ("121_0_1_20170116174525125.jpg", None),
        ("999_0_1_20170116174525125.jpg", None),
        ("1000_0_1_20170116174525125.jpg", None),
        ("-5_0_1_20170116174525125.jpg", None),
        ("25_2_1_20170116174525125.jpg", None),
        ("25_0_5_20170116174525125.jpg", None),
        ("53__0_20170116184028385.jpg", None),
        ("25_0_2.jpg", None),
        ("25_0_2_2017.jpg", None),
        ("x25_0_2_20170116174525125.jpg", None),
        ("25_0_2_20170116174525125/photo.jpg", None),
        ("IMG_20170116_174525.jpg", None),
        ("", None),
    ],
)
def test_names_of_utkface(name: str, expected: Label | None) -> None:
    assert same(label_from_name("utkface", name), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0_MariaCallas_35_f.jpg", Label(35, 1, person="MariaCallas")),
        ("16448_DouglasFairbanks_55_m.jpg", Label(55, 0, person="DouglasFairbanks")),
        ("AgeDB/12_Jean_Luc_Picard_101_m.jpg", Label(101, 0, person="Jean_Luc_Picard")),
        ("7_Robert_Downey_Jr._50_m.jpg", Label(50, 0, person="Robert_Downey_Jr.")),
        ("8_Agent_007_40_m.png", Label(40, 0, person="Agent_007")),
        ("9_ÉdithPiaf_47_f.jpg", Label(47, 1, person="ÉdithPiaf")),
        ("9_A_0_f.jpg", Label(0, 1, person="A")),
        ("9_A_120_f.jpg", Label(120, 1, person="A")),
        ("9_A_121_f.jpg", None),
        ("9_A_40_x.jpg", None),
        ("9_A_40_f", None),
        ("9__40_f.jpg", None),
        ("A_40_f.jpg", None),
        ("25_0_2_20170116174525125.jpg", None),
    ],
)
def test_names_of_agedb(name: str, expected: Label | None) -> None:
    assert same(label_from_name("agedb", name), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("male/a.jpg", Label(gender=0)),
        ("Female/a.jpg", Label(gender=1)),
        ("train/MEN/deep/a.jpg", Label(gender=0)),
        ("men/women/a.jpg", Label(gender=1)),
        ("woman/man.jpg", Label(gender=1)),
        ("male.jpg", None),
        ("m/a.jpg", None),
        ("females and males/a.jpg", None),
        ("malefactors/female.jpg", None),
    ],
)
def test_names_of_folders(name: str, expected: Label | None) -> None:
    assert same(label_from_name("folders", name), expected)


def test_digits_of_other_scripts_in_file_names() -> None:
    assert label_from_name("utkface", "٢٥_0_2_20170116174525125.jpg") is None
    assert label_from_name("agedb", "1_A_３５_f.jpg") is None


SHARED = Path(__file__).parents[3] / "shared" / "data" / "utkface"


@pytest.mark.shared
def test_the_file_names_in_utkface() -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent")
    labels = [label_from_name("utkface", path.name) for path in SHARED.iterdir()]
    known = [label for label in labels if label is not None]
    assert len(known) == len(labels) == 19_023
    assert sum(label.group == "" for label in known) == 2
    assert {label.gender for label in known} == {0, 1}
    assert (min(label.age for label in known), max(label.age for label in known)) == (1, 116)


def test_labels_of_copies_are_merged_unless_they_contradict() -> None:
    assert same(merge([Label(30, 1), Label(30, 1)]), Label(30, 1))
    assert same(merge([Label(30), Label(gender=0, person="Ada"), Label(30, 0)]), Label(30, 0, "Ada"))
    assert same(merge([Label()]), Label())
    assert same(merge([Label(0, 0)]), Label(0, 0))
    assert same(
        merge([Label(30, person="MariaCallas"), Label(person="maria callas")]),
        Label(30, person="MariaCallas"),
    )
    assert same(
        merge([Label(1, weight=2, split="train"), Label(1, weight=3, split="test")]),
        Label(1, weight=2, split="test"),
    )
    assert same(merge([Label(1), Label(1, split="train")]), Label(1, split="train"))
    for other in (Label(31, 1), Label(30, 0), Label(30, 1, "Bo"), Label(30, 1, "Ada", "two")):
        assert merge([Label(30, 1, "Ada", "one"), other]) is None


def test_spellings_of_a_person() -> None:
    spellings = ("Édith_Piaf", "EdithPiaf", "edith piaf", "Edith-Piaf.")
    assert {person_key(name) for name in spellings} == {"edithpiaf"}
    assert person_key("___") == "___"
    assert person_key("王菲") == "王菲"
    assert len({person_key(name) for name in ("Ada", "Bo", "12", "1", "?", "")}) == 6


def test_identifiers_of_persons_differ_by_every_character(tmp_path: Path) -> None:
    numbers = ("1_23", "12_3", "-123", "12.3", "123", "1", "10", "1.10", "p1", "p-1", "p_1_2", "p_12")
    assert len({person_key(one) for one in numbers}) == len(numbers)
    assert person_key("P12") == person_key("p12")
    # Accents do not distinguish persons, vowels do.
    assert person_key("José") == person_key("Jose\u0301") == person_key("jose")
    assert len({person_key(name) for name in ("राम", "रमा", "रम")}) == 3
    assert [is_number(one) for one in ("1_23", "-123", "12.3", "１２", "p1", "Ada")] == [True] * 4 + [
        False
    ] * 2
    # pandas writes 1 as 1.0 in a column with gaps.
    found = read(tmp_path, "path,age,person\na,1,1.0\nb,1,1\nc,1,10.0\nd,1,10\ne,1,1.5\nf,1,-1.00\n")
    assert [label[2] for label in found.values()] == ["1", "1", "10", "10", "1.5", "-1"]
    assert same(merge([Label(1, person="1"), Label(1, person="1")]), Label(1, person="1"))
    assert merge([Label(1, person="1_23"), Label(1, person="12_3")]) is None
