"""The search for settings: what it tries, what it keeps, when it stops, and what it never sees."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from caches import FINGERPRINT
from faces import FAST, faces
from projects import PACK, made_up

from arcage.errors import HeadsError, UsageError
from arcage.heads.fit import FittedHeads
from arcage.heads.model import Predictions
from arcage.heads.search import CHOICES, TRIAL_FOLDS, TRIALS, search
from arcage.heads.settings import FOLDS, KINDS, Settings
from arcage.heads.store import CARD, MANIFEST, load_heads
from arcage.types import Labels

X, AGE, GENDER = faces(400, 0)
NOTHING = np.full(400, np.nan, np.float32)


class Fake:
    """Replaces ``fit_heads`` and the clock: predictions with given errors, after given times."""

    def __init__(self) -> None:
        self.time = 100.0
        self.tried: list[Settings] = []
        self.rows: list[int] = []
        self.seconds: Callable[[Settings], float] = lambda settings: 10
        self.years: Callable[[Settings], float] = lambda settings: 5
        self.wrong: Callable[[Settings], int] = lambda settings: 20

    def __call__(self, x: Any, labels: Labels, *, settings: Settings, **options: Any) -> Any:
        self.tried.append(settings)
        self.rows.append(len(x))
        self.time += self.seconds(settings)
        female = labels.gender == 1
        flip = np.arange(len(x)) < self.wrong(settings)
        p = np.where(female != flip, 0.9, 0.1).astype(np.float32)
        guess = (labels.age + self.years(settings)).astype(np.float32)
        return FittedHeads(None, Predictions(guess, guess, guess, p))  # type: ignore[arg-type]

    def clock(self) -> float:
        return self.time


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr("arcage.heads.search.fit_heads", made)
    return made


def run_search(fake: Fake, file: Path, *, seconds: float = 205, **options: Any) -> Any:
    given = {"labels": Labels(AGE, GENDER), "settings": Settings(), **options}
    return search(X, given.pop("labels"), seconds=seconds, file=file, clock=fake.clock, **given)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_what_is_tried(fake: Fake, tmp_path: Path) -> None:
    """Each kind once, then boosted heads with one to three settings changed, none twice."""
    base = Settings(seed=4)
    _, trials = run_search(fake, tmp_path / TRIALS, settings=base)
    assert len(trials) == 20
    assert [trial.settings.kind for trial in trials[:3]] == list(KINDS)
    assert trials[0].settings == replace(base, folds=TRIAL_FOLDS)
    assert len({trial.settings for trial in trials}) == 20
    assert {trial.settings.kind for trial in trials[3:]} == {"boosted"}
    for trial in trials[3:]:
        changed = [
            (part, name)
            for part, name, _ in CHOICES
            if getattr(getattr(trial.settings, part), name) != getattr(getattr(base, part), name)
        ]
        assert 1 <= len(changed) <= 3, "all score alike, so that the first stays the best"
        for part, name, values in CHOICES:
            assert getattr(getattr(trial.settings, part), name) in values
    assert {(s.seed, s.folds, s.quantiles.rounds) for s in fake.tried} == {(4, TRIAL_FOLDS, 1)}
    assert {trial.settings.quantiles for trial in trials} == {base.quantiles}


def test_the_kind_that_was_asked_for_comes_first(fake: Fake, tmp_path: Path) -> None:
    _, trials = run_search(fake, tmp_path / TRIALS, settings=Settings(kind="linear"), seconds=35)
    assert [trial.settings.kind for trial in trials] == ["linear", "boosted", "lightgbm"]


def test_the_seed_decides(fake: Fake, tmp_path: Path) -> None:
    def tried(seed: int) -> list[Settings]:
        _, trials = run_search(fake, tmp_path / TRIALS, settings=Settings(seed=seed))
        return [replace(trial.settings, seed=0) for trial in trials]

    assert tried(0) == tried(0)
    assert tried(0)[3:] != tried(1)[3:]


@pytest.mark.parametrize(("part", "age", "gender"), [("gender", AGE, NOTHING), ("age", NOTHING, GENDER)])
def test_settings_of_what_is_not_labelled_are_left_alone(
    fake: Fake, tmp_path: Path, part: str, age: np.ndarray, gender: np.ndarray
) -> None:
    chosen, trials = run_search(fake, tmp_path / TRIALS, labels=Labels(age, gender))
    assert len({getattr(trial.settings, part) for trial in trials}) == 1
    assert chosen.score == 1
    assert (chosen.mae is None, chosen.gender_errors is None) == (part == "age", part == "gender")


def test_small_sets_of_choices_end_the_search(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = (("kernel", "width", (0.2, 0.3)), ("kernel", "ridge", (0.3, 1.0)), ("age", "leaves", (15, 31)))
    monkeypatch.setattr("arcage.heads.search.CHOICES", few)
    _, trials = run_search(fake, tmp_path / TRIALS, seconds=1e6)
    assert len(trials) == 2 + 8


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.001, 1), (10, 1), (19, 1), (20, 2), (21, 3), (30.9, 3), (40.9, 3), (41, 4)]
)
def test_the_budget_is_kept(fake: Fake, tmp_path: Path, seconds: float, count: int) -> None:
    """An unknown kind is expected to take as long as the longest so far; the first is always tried."""
    fake.seconds = lambda settings: {"boosted": 10, "linear": 1, "lightgbm": 20}[settings.kind]
    _, trials = run_search(fake, tmp_path / TRIALS, seconds=seconds)
    assert len(trials) == count
    assert trials[0].settings.kind == "boosted"
    assert [t.seconds for t in trials] == [10, 1, 20, 10][:count]
    if count < 3:
        assert fake.time - 100 <= max(seconds, 10)


def test_the_best_out_of_fold_is_chosen(fake: Fake, tmp_path: Path) -> None:
    fake.years = lambda settings: {15: 3, 31: 5, 63: 8}[settings.age.leaves] + settings.kernel.width
    fake.wrong = lambda settings: 20 if settings.kind == "boosted" else 60
    chosen, trials = run_search(fake, tmp_path / TRIALS, seconds=1000)
    assert chosen.settings.age.leaves == 15
    assert chosen.settings.kernel.width == 0.15
    assert chosen.score == min(trial.score for trial in trials)
    assert chosen.score == pytest.approx((3.15 / 5.3 + 1) / 2, rel=1e-4)
    assert trials[1].score == pytest.approx((1 + 61 / 21) / 2)
    # Variations start from the best so far.
    late = Counter(trial.settings.age.leaves for trial in trials[-30:])
    assert late[15] > 15


def test_other_kinds_may_win(fake: Fake, tmp_path: Path) -> None:
    fake.years = lambda settings: 1 if settings.kind == "linear" else 5
    chosen, _ = run_search(fake, tmp_path / TRIALS)
    assert chosen.settings.kind == "linear"


def test_of_equals_the_surer_then_the_first_is_chosen(fake: Fake, tmp_path: Path) -> None:
    chosen, _ = run_search(fake, tmp_path / TRIALS)
    assert chosen.number == 1
    plain = fake.__call__

    def surer(*arguments: Any, settings: Settings, **options: Any) -> Any:
        _, before = plain(*arguments, settings=settings, **options)
        sure = settings.kind == "lightgbm"
        return FittedHeads(
            None,
            replace(before, p_female=np.where(before.p_female > 0.5, 0.6 + 0.2 * sure, 0.4 - 0.2 * sure)),
        )  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arcage.heads.search.fit_heads", surer)
        chosen, _ = run_search(fake, tmp_path / TRIALS)
    assert chosen.settings.kind == "lightgbm"


@pytest.mark.parametrize("error", [HeadsError("no luck"), MemoryError(), np.linalg.LinAlgError("singular")])
def test_a_trial_that_fails_is_kept_and_passed_over(fake: Fake, tmp_path: Path, error: Exception) -> None:
    def years(settings: Settings) -> float:
        if settings.kind == "linear":
            raise error
        return 5

    fake.years = years
    messages: list[str] = []
    chosen, trials = run_search(fake, tmp_path / TRIALS, report=messages.append)
    assert chosen.number == 1
    assert len(trials) == 20
    failed = lines(tmp_path / TRIALS)[1]
    assert failed["error"] == (str(error) or "MemoryError")
    assert failed["score"] is None
    assert failed["seconds"] == 10
    assert f"linear: failed: {failed['error']}" in messages[2]


def test_a_first_trial_that_fails_does_not_end_the_search(fake: Fake, tmp_path: Path) -> None:
    def years(settings: Settings) -> float:
        if settings.kind == "boosted":
            raise HeadsError("no luck")
        return {"linear": 5, "lightgbm": 4}[settings.kind]

    fake.years = years
    chosen, trials = run_search(fake, tmp_path / TRIALS)
    assert len(trials) == 3, "no boosted head to vary"
    assert chosen.settings.kind == "lightgbm"
    assert trials[1].score == 1
    fake.years = lambda settings: years(Settings())
    with pytest.raises(UsageError, match="none of 3 trials could be fitted: no luck"):
        run_search(fake, tmp_path / TRIALS)
    assert len(lines(tmp_path / TRIALS)) == 6


def test_predictions_that_are_not_finite_fail(fake: Fake, tmp_path: Path) -> None:
    fake.years = lambda settings: float("nan") if settings.kind == "linear" else 5
    run_search(fake, tmp_path / TRIALS)
    assert lines(tmp_path / TRIALS)[1]["error"] == "its predictions are not finite"


def test_an_interruption_loses_no_trial(fake: Fake, tmp_path: Path) -> None:
    def seconds(settings: Settings) -> float:
        if len(fake.tried) == 3:
            raise KeyboardInterrupt
        return 10

    fake.seconds = seconds
    file = tmp_path / "new" / TRIALS
    with pytest.raises(KeyboardInterrupt):
        run_search(fake, file)
    first, second = lines(file)
    assert (first["number"], first["settings"]["kind"]) == (1, "boosted")
    assert (second["number"], second["settings"]["kind"]) == (2, "linear")
    assert first["settings"]["kernel"]["width"] == 0.3
    assert (first["settings"]["seed"], first["settings"]["folds"]) == (0, TRIAL_FOLDS)
    assert (first["seconds"], first["mae"], first["gender_errors"], first["score"]) == (10, 5, 20, 1)
    # The next search writes below.
    fake.seconds = lambda settings: 10
    run_search(fake, file, seconds=25)
    assert [line["number"] for line in lines(file)] == [1, 2, 1, 2]


def test_what_cannot_be_fitted_is_known_before_the_search(fake: Fake, tmp_path: Path) -> None:
    persons = np.arange(400) % (FOLDS - 1)
    with pytest.raises(UsageError, match=f"fewer than {FOLDS} persons"):
        run_search(fake, tmp_path / "new" / TRIALS, labels=Labels(AGE, GENDER, person=persons))
    with pytest.raises(UsageError, match="no face has a label"):
        run_search(fake, tmp_path / "new" / TRIALS, labels=Labels.empty(400))
    assert not fake.tried
    assert not (tmp_path / "new").exists()


def test_a_file_that_cannot_be_written(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / TRIALS).mkdir()
    with pytest.raises(HeadsError, match=r"cannot write .*trials.jsonl: .*; choose another `out`"):
        run_search(fake, tmp_path / TRIALS)


def test_trials_are_answered_out_of_fold(tmp_path: Path) -> None:
    """Without a fake: on labels that nothing can be learned from, no head looks good."""
    rng = np.random.default_rng(1)
    noise = rng.permutation(AGE)
    _, trials = search(X, Labels(noise, NOTHING), settings=FAST, seconds=1e-3, file=tmp_path / TRIALS)
    assert trials[0].mae is not None
    assert trials[0].mae > 0.9 * np.abs(noise - np.median(noise)).mean()


# The command


class Extractor(fakes.FakeExtractor):
    pack = PACK

    def __init__(self, pack: str = "compact") -> None:
        super().__init__(pack)
        self.fingerprint = FINGERPRINT


@pytest.fixture
def fit(arcage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setattr("arcage.embedder.extractor.Extractor", Extractor)
    monkeypatch.chdir(tmp_path)
    made_up(Path("cache"))

    def run(*arguments: object) -> Any:
        return arcage("fit", "--cache", "cache", "--labels", "utkface", "--out", "heads", *arguments)

    return run


def test_the_command(fit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Real fits; a clock that lets the three kinds be tried."""
    ticks = iter(range(1000))

    def three(*arguments: Any, **options: Any) -> Any:
        return search(*arguments, **{**options, "seconds": 7}, clock=lambda: next(ticks))

    monkeypatch.setattr("arcage.training.fit.search", three)
    done = fit("--kind", "linear", "--search", 0.5, "--holdout", 0.25)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split()[0] == "with"
    assert "trial" not in done.stdout
    trials = lines(Path("heads", TRIALS))
    assert [trial["settings"]["kind"] for trial in trials][:3] == ["linear", "boosted", "lightgbm"]
    rows = [line for line in done.stderr.splitlines() if line[:5].strip().isdigit()]
    assert len(rows) == len(trials)
    assert {trial["error"] for trial in trials} == {""}
    best = min(trials, key=lambda trial: (trial["score"], trial["log_loss"]))
    assert f"chosen: trial {best['number']} of {len(trials)}" in done.stderr
    manifest = json.loads(Path("heads", MANIFEST).read_text("utf-8"))
    assert manifest["search"] == {
        "trials": len(trials),
        "folds": TRIAL_FOLDS,
        "seconds": 30,
        "chosen": best["number"],
    }
    assert manifest["settings"] == {**best["settings"], "folds": FOLDS}
    card = Path("heads", CARD).read_text("utf-8")
    words = (
        f"The settings were chosen among {len(trials)} trials by {TRIAL_FOLDS}-fold cross-validation on the"
    )
    assert words in card
    load_heads(Path("heads")).check(FINGERPRINT)


def test_held_out_faces_never_reach_the_search(
    fit: Callable[..., Any], fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[np.ndarray] = []

    def spy(x: np.ndarray, *arguments: Any, **options: Any) -> Any:
        given.append(x)
        return search(x, *arguments, **{**options, "clock": fake.clock})

    monkeypatch.setattr("arcage.training.fit.search", spy)
    fake.years = lambda settings: 1 if settings.kind == "linear" else 5
    done = fit("--search", 1, "--holdout", 0.25, "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    manifest = json.loads(Path("heads", MANIFEST).read_text("utf-8"))
    assert manifest["settings"]["kind"] == "linear"
    train = manifest["training"]["faces"]
    assert train + manifest["training"]["held_out"] == 400
    assert manifest["training"]["held_out"] > 60
    assert set(fake.rows) == {train}
    from arcage.cache import Cache
    from arcage.data.join import labelled_faces

    everyone = labelled_faces(Cache(Path("cache"), FINGERPRINT), "utkface")
    np.testing.assert_array_equal(given[0], everyone.select(~everyone.held_out(0.25)).descriptors())


def test_without_a_search(fit: Callable[..., Any]) -> None:
    assert fit("--kind", "linear").exit_code == 0
    assert json.loads(Path("heads", MANIFEST).read_text("utf-8"))["search"] is None
    assert "trials" not in Path("heads", CARD).read_text("utf-8")
    assert not Path("heads", TRIALS).exists()


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "long"])
def test_what_is_no_time_is_refused(fit: Callable[..., Any], minutes: str) -> None:
    done = fit("--search", minutes)
    assert done.exit_code == 2
    assert "--search" in done.stderr
    assert not Path("heads").exists()
