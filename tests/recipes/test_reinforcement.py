"""PPO: advantages and loss by hand, rollouts of a game by hand, games that go on exactly."""

import sys

import numpy as np
import pytest

from recipes.reinforcement.advantages import advantages
from recipes.reinforcement.atari import Atari
from recipes.reinforcement.episodes import Episodes
from recipes.reinforcement.games import Games, Step
from recipes.reinforcement.loss import PPOLoss
from recipes.reinforcement.minatar import GAMES, MinAtar
from recipes.reinforcement.rollout import draw, first_episodes, roll_out
from recipes.running import command_line
from recipes.running.recipe import find
from recipes.running.runtime import Runtime
from recipes.running.trainer import train
from tests.recipes.test_training import KillAt, KilledError, comparable


class Counting(Games):
    """Game i shows how many steps its episode has had, and lasts i + 2 steps; rewards are 3."""

    actions = 2

    def __init__(self, games=2, cut=False):
        self.lengths, self.cut = np.arange(games) + 2, cut
        self.reset([0])

    def reset(self, seed):
        self.seen = np.zeros((len(self.lengths), 1), "float32")

    def step(self, actions):
        final = self.seen + 1
        ended = final[:, 0] == self.lengths
        self.seen = np.where(ended[:, None], 0, final).astype("float32")
        return Step(np.full(len(ended), 3.0), ended, ended & self.cut, final)

    def state(self):
        return {"seen": self.seen}

    def restore(self, state):
        self.seen = state["seen"]


def expecting(seen):
    """A policy of two actions alike, to which what is seen is worth ten times itself."""
    return np.concatenate([np.zeros((len(seen), 2)), 10 * seen], axis=1)


def test_advantages_are_the_sum_of_what_follows():
    """sum_l (gamma lambda)^l delta_(t + l) up to the end of the episode, by loops."""
    random = np.random.default_rng(0)
    rewards, values = random.normal(size=(2, 7, 3))
    ended, last = random.random((7, 3)) < 0.3, random.normal(size=3)
    found = advantages(rewards, values, ended, last, 0.9, 0.8)
    following = np.concatenate([values[1:], last[None]])
    for t in range(7):
        for game in range(3):
            total = 0.0
            for k in range(t, 7):
                beyond = 0 if ended[k, game] else 0.9 * following[k, game]
                total += 0.72 ** (k - t) * (rewards[k, game] + beyond - values[k, game])
                if ended[k, game]:
                    break
            assert found[t, game] == pytest.approx(total, abs=1e-12)


def test_advantages_at_the_ends():
    rewards, values = np.array([[1.0], [2.0], [4.0]]), np.array([[5.0], [6.0], [7.0]])
    never, last = np.zeros((3, 1), bool), np.array([8.0])
    # lambda 1: the discounted return less V. lambda 0: one step ahead.
    returns = advantages(rewards, values, never, last, 0.5, 1.0)[:, 0]
    assert returns.tolist() == [1 + 2 / 2 + 4 / 4 + 8 / 8 - 5, 2 + 4 / 2 + 8 / 4 - 6, 4 + 8 / 2 - 7]
    ahead = advantages(rewards, values, never, last, 0.5, 0.0)[:, 0]
    assert ahead.tolist() == [1 + 3 - 5, 2 + 3.5 - 6, 4 + 4 - 7]


def test_loss_by_hand():
    """Three examples: within the clip, beyond it, beyond it where the minimum does not clip."""
    logits = np.log([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]])
    value = np.array([[1.0], [0.0], [2.0]])
    outputs = np.concatenate([logits, value], axis=1).astype("float32")
    targets = np.array(
        [
            [0, np.log(0.5), 2.0, 3.0],  # r = 1
            [0, np.log(0.6), 2.0, 1.0],  # r = 1.5, of which 1.2 counts
            [0, np.log(0.6), -2.0, 2.0],  # r = 1.5, all of it
        ],
        "float32",
    )
    entropy = [np.log(2), *2 * [-0.9 * np.log(0.9) - 0.1 * np.log(0.1)]]
    gains = np.array([2 * 1.0, 2 * 1.2, -2 * 1.5])
    errors = np.array([4 / 2, 1 / 2, 0.0])
    expected = -gains + 0.5 * errors - 0.01 * np.array(entropy)
    each = PPOLoss(reduction="none")(targets, outputs)
    np.testing.assert_allclose(np.asarray(each), expected, rtol=1e-5)
    assert float(PPOLoss()(targets, outputs)) == pytest.approx(expected.mean(), rel=1e-5)
    # Other constants; they are part of the config.
    loss = PPOLoss(clip=0.1, value_cost=2.0, entropy_cost=1.0, reduction="none")
    again = PPOLoss.from_config(loss.get_config())(targets, outputs)
    expected = -np.array([2 * 1.0, 2 * 1.1, -2 * 1.5]) + 2 * errors - entropy
    np.testing.assert_allclose(np.asarray(again), expected, rtol=1e-5)


def test_actions_are_drawn_by_their_probabilities():
    probabilities = np.array([0.2, 0.5, 0.3])
    logits = np.log(np.tile(probabilities, (20_000, 1))) + 7
    actions, log_p = draw(logits, np.random.default_rng(0))
    shares = np.bincount(actions) / len(actions)
    np.testing.assert_allclose(shares, probabilities, atol=4 * 0.5 / np.sqrt(20_000))
    np.testing.assert_allclose(np.exp(log_p), probabilities[actions])


@pytest.mark.parametrize("cut", [False, True])
def test_a_rollout_by_hand(cut):
    games = Counting(cut=cut)
    random = np.random.default_rng(0)
    rollout = roll_out(games, expecting, 3, random, discount=0.5, trace=0.0)
    # Steps by games; episodes of 2 and of 3 steps.
    assert rollout.seen.ravel().tolist() == [0, 0, 1, 1, 0, 2]
    assert rollout.ended.tolist() == [[False, False], [True, False], [False, True]]
    assert rollout.rewards.tolist() == [[3, 3]] * 3
    assert games.seen.ravel().tolist() == [1, 0]
    # r + V' / 2 - V with V = 10 seen; beyond a limit of time V' is 10 final, beyond an end 0.
    beyond = (20 / 2, 30 / 2) if cut else (0.0, 0.0)
    targets = np.array([3 + 5, 3 + 5, 3 + beyond[0], 3 + 10, 3 + 5, 3 + beyond[1]])
    np.testing.assert_allclose(rollout.targets[:, 3], targets)
    gains = targets - 10 * rollout.seen.ravel()
    np.testing.assert_allclose(rollout.targets[:, 2], (gains - gains.mean()) / gains.std(), 1e-5)
    np.testing.assert_allclose(rollout.targets[:, 1], np.log(0.5), rtol=1e-6)
    assert set(rollout.targets[:, 0]) <= {0, 1}


def test_signs_of_rewards_are_learnt_from_and_scores_are_kept():
    rollout = roll_out(
        Counting(), expecting, 2, np.random.default_rng(0), discount=0, trace=0, clip_rewards=True
    )
    assert set(rollout.targets[:, 3]) == {1}
    assert rollout.rewards.tolist() == [[3, 3]] * 2


def test_returns_of_episodes():
    episodes = Episodes(2, kept=3)
    assert np.isnan(episodes.mean)
    rewards = np.array([[1.0, 10], [2, 20], [3, 30]])
    ended = np.array([[False, True], [True, False], [False, False]])
    episodes.add(rewards, ended)
    assert episodes.mean == (3 + 10) / 2
    again = Episodes(2, kept=3)
    again.restore(episodes.state())
    for one in (episodes, again):
        one.add(rewards[:1], np.array([[True, True]]))
        assert one.mean == (3 + 4 + 60) / 3  # Of 10, 3, 4 and 60 the last three.
    episodes.add(rewards[2:], np.array([[False, False]]))
    episodes.restart()
    episodes.add(rewards[:1], np.array([[True, False]]))
    assert episodes.mean == (4 + 60 + 1) / 3  # The 3 before the restart is forgotten.


def test_first_episodes():
    random = np.random.default_rng(0)
    assert first_episodes(Counting(3), expecting, random).tolist() == [6, 9, 12]
    assert first_episodes(Counting(3), expecting, random, limit=3).tolist() == [6, 9, 9]


def course(games, steps, seed):
    random = np.random.default_rng(seed)
    for _ in range(steps):
        step = games.step(random.integers(games.actions, size=len(games.seen)))
        yield games.seen.copy(), step.rewards, step.ended


def check_going_on(make):
    """Same seed, same course; from a state on, the same; from another seed, another."""
    games = make()
    games.reset([1, 2])
    first = games.seen.copy()
    start = list(course(games, 40, seed=0))
    state = {
        key: np.copy(v) if isinstance(v, np.ndarray) else v for key, v in games.state().items()
    }
    rest = list(course(games, 40, seed=1))
    other = make()
    other.restore(state)
    for one, two in zip(rest, course(other, 40, seed=1), strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
    other.reset([1, 2])
    np.testing.assert_array_equal(other.seen, first)
    for one, two in zip(start, course(other, 40, seed=0), strict=True):
        np.testing.assert_array_equal(one[0], two[0])
    other.reset([1, 3])
    again = [seen for seen, *_ in course(other, 40, seed=0)]
    assert any((seen != one[0]).any() for seen, one in zip(again, start, strict=True))


def test_minatar_goes_on_exactly():
    pytest.importorskip("gymnax")
    check_going_on(lambda: MinAtar("breakout", 6))


def test_minatar_s_breakout():
    pytest.importorskip("gymnax")
    games = MinAtar("breakout", 3)
    assert games.actions == 3
    assert games.seen.shape == (3, 10, 10, 4)
    assert games.seen[..., 3].sum(axis=(1, 2)).tolist() == [30] * 3  # Bricks.
    # Where nobody plays, the first ball is lost after one brick at most.
    assert (first_episodes(games, expecting_nothing, np.random.default_rng(0)) <= 1).all()


def expecting_nothing(seen):
    return np.tile([50.0, 0, 0, 0], (len(seen), 1))


def test_atari_goes_on_exactly():
    pytest.importorskip("ale_py")
    pytest.importorskip("gymnasium")
    check_going_on(lambda: Atari("breakout", 2))
    games = Atari("pong", 1)
    assert games.seen.shape == (1, 84, 84, 4)
    assert games.seen.dtype == np.uint8
    assert games.actions == 6


@pytest.mark.parametrize(("kind", "package"), [(MinAtar, "gymnax"), (Atari, "ale_py")])
def test_games_that_are_not_to_be_had(kind, package, monkeypatch):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, package, None)
        with pytest.raises(ValueError, match=r"pip install 'keras_sam\[rl\]'.*`game='breakout'`"):
            kind("breakout", 7)  # No other test has as many: their programs are kept.
    pytest.importorskip(package)
    with pytest.raises(ValueError, match="`game` must be one of .*breakout.* `game='chess'`"):
        kind("chess", 2)
    assert set(GAMES) == {"asterix", "breakout", "freeway", "seaquest", "space_invaders"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 100}, "`batch_size` must be a divisor of games x steps, 4096"),
        ({"evaluation_games": 3}, "`evaluation_games` must be even, >= 2"),
        ({"discount": 1.5}, r"`discount` must be in \[0, 1\]"),
        ({"steps": 0}, "`steps` must be >= 1"),
        ({"clip_norm": 0.0}, "`clip_norm` must be > 0"),
        ({"label_noise": 0.1}, "`label_noise` must be 0 where nothing is labelled"),
        ({"take": 100}, "`take` must be none"),
        # Or training would stop before, or where, it is not evaluated.
        ({"patience": 5}, "`patience` must be none, or a multiple of evaluate_every, 10"),
        ({"patience": 15}, "`patience` must be none, or a multiple of evaluate_every, 10"),
    ],
)
def test_bad_settings(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message + ".*Received"):
        train(find("minatar_ppo").config(**changes), tmp_path / "run")


def test_an_unknown_game_by_the_command_line(tmp_path):
    pytest.importorskip("gymnax")
    flags = ["--game", "chess", "--output", str(tmp_path), "--no-progress"]
    with pytest.raises(SystemExit, match="`game` must be one of asterix, breakout"):
        command_line.main(find("minatar_ppo"), "text", flags)


SMALL = {
    "minatar_ppo": {"width": 0.1, "games": 4, "batch_size": 16, "evaluation_games": 2},
    "atari_ppo": {"width": 0.05, "games": 2, "batch_size": 8, "evaluation_games": 2},
}


def small(name, **changes):
    common = {"epochs": 3, "steps": 8, "passes": 2, "evaluate_every": 2, "rho": 0.01}
    return find(name).config(**{**common, **SMALL[name], **changes})


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_run_goes_on_after_a_crash(name, tmp_path):
    for package in ("gymnax",) if name == "minatar_ppo" else ("ale_py", "gymnasium"):
        pytest.importorskip(package)
    runtime = Runtime(progress=False, tensorboard=True)
    # Of Atari, one crash before the games begin anew and one after.
    config = small(name, fresh_every=2 if name == "atari_ppo" else 0)
    whole = train(config, tmp_path / "a" / "run", runtime=runtime)
    assert [np.isnan(value) for value in whole.curves["val_return"]] == [True, False, False]
    assert whole.selected["epoch"] in (2, 3)
    assert np.isfinite(whole.curves["loss"]).all()
    for epoch in (1, 2):
        with pytest.raises(KilledError):
            train(config, tmp_path / "b" / "run", runtime=runtime, callbacks=[KillAt(epoch)])
    resumed = train(config, tmp_path / "b" / "run", runtime=runtime)
    assert comparable(resumed).to_json() == comparable(whole).to_json()


@pytest.mark.slow
def test_pruned_split_and_in_mixed_precision(tmp_path):
    pytest.importorskip("gymnax")
    config = small(
        "minatar_ppo",
        epochs=1,
        sparsity=0.5,
        pruner="snip",
        num_batch_splits=2,
        mixed_precision="bfloat16",
    )
    record = train(config, tmp_path / "run", runtime=Runtime(progress=False))
    assert np.isfinite(record.curves["loss"]).all()
    assert record.kept_parameters < record.parameters


@pytest.mark.slow
def test_ppo_learns_breakout(tmp_path):
    """Nobody who plays at random hits more than half a brick a ball."""
    pytest.importorskip("gymnax")
    config = find("minatar_ppo").config(quick=True, width=0.5)
    record = train(config, tmp_path / "run", runtime=Runtime(progress=False))
    assert record.curves["return"][0] < 0.7 < 1.0 < record.curves["return"][-1]
