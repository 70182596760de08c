"""The rounds of a federated training, over any Flower grid."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from flwr.serverapp import Grid

from blindfit.errors import TooFewError, TrainingError
from blindfit.federation_messages import Purpose, write_end
from blindfit.metrics import Metrics
from blindfit.secagg.group import Group
from blindfit.secagg.round_id import RoundId
from server_app.checkpoint import Checkpoint, RoundRecord
from server_app.early_stop import is_better, should_stop
from server_app.exchange import LATECOMER_SECONDS, Ask, ask, wait_for_participants
from server_app.learning import Progress, make_learner
from server_app.run_folder import RunFolder, score_round
from server_app.secure_sums import SecureSums
from server_app.sums import Question, Summed, readable_sum

FINAL_SECONDS = 120.0  # the bound of the last evaluation: the model is trained by then
GOODBYE_SECONDS = 8.0
MOST_FAILURES = 3  # rounds in a row that come to nothing


def conduct(grid: Grid, run: RunFolder) -> None:
    """Train the run's study; the last good model is in ``run`` after every round.

    Goes on from the run's checkpoint if there is one. Raises `TrainingError` when participants are
    too few. Either way the last event says how it ended, and the participants are told.
    """
    failure = {"reason": "the coordinator ended unexpectedly", "hint": "see superlink.log"}
    try:
        _Training(grid, run).all_rounds()
        failure = {}
        _say_goodbye(grid, run, "")
    except TrainingError as error:
        failure = {"reason": str(error), "hint": error.hint}
        _say_goodbye(grid, run, str(error))
        raise
    finally:
        # The last event: after it, the SuperLink may be stopped at any moment.
        run.tell("failed" if failure else "finished", **failure)


def _say_goodbye(grid: Grid, run: RunFolder, reason: str) -> None:
    names = run.participants()
    goodbye = Ask("query.end", write_end(reason))
    asks = {node: goodbye for node in grid.get_node_ids() if node in names}
    if asks:
        ask(grid, asks, lambda node, reply: None, timeout=GOODBYE_SECONDS)


class _Training:
    def __init__(self, grid: Grid, run: RunFolder) -> None:
        self._grid, self._run, self._study = grid, run, run.study()
        self._names = run.participants()
        self._roster = run.roster()
        privacy = self._study.privacy
        self._group = Group.of(self._study, self._roster) if privacy.secure_aggregation else None
        self._secure = None if self._group is None else self._secure_sums(self._group)
        self._learner = make_learner(self._study, len(self._roster))
        self._at = run.checkpoint() or Checkpoint(self._learner.begin())
        self._failures = 0
        self._ended = False

    def _secure_sums(self, group: Group) -> SecureSums:
        node_of = {name: node for node, name in self._names.items()}
        nodes = {index: node_of[m.name] for index, m in enumerate(self._roster.members)}
        tell = partial(self._run.tell, "stage")
        return SecureSums(
            self._grid, group, nodes, self._run.begin_round, lambda stage: tell(stage=stage)
        )

    @property
    def _needed(self) -> int:
        """How many must be there for a round to begin."""
        needed = self._study.federation.min_participants
        return needed if self._group is None else max(needed, self._group.threshold)

    def all_rounds(self) -> None:
        federation = self._study.federation
        first = True
        while len(self._at.records) < federation.rounds and not self._ended:
            if should_stop(self._at.records, self._at.best_round, federation.early_stop):
                self._take_best()
                return
            self._round(self._wait(first=first))
            first = False
        # Under differential privacy an evaluation would tell something that nobody paid for.
        if self._study.privacy.guarantee is None:
            self._evaluate()
        if federation.early_stop is not None and self._at.best_round:
            self._take_best()

    def _wait(self, *, first: bool) -> list[int]:
        needed = self._needed

        def report(present: list[str]) -> None:
            if first or len(present) < needed:
                self._run.tell("waiting", present=present, needed=needed)

        return wait_for_participants(
            self._grid,
            self._names,
            needed,
            self._study.federation.join_timeout,
            report,
            latecomers=LATECOMER_SECONDS if first else 0.0,
        )

    def _round(self, nodes: list[int]) -> None:
        """One round; one that comes to nothing is told, and the next starts afresh."""
        started = time.monotonic()
        timeout = self._study.federation.round_timeout
        number = self._number
        self._run.tell("round_started", round=number, participants=self._named(nodes))
        try:
            summed, progress, metrics = self._ask("fit", nodes, timeout)
        except TrainingError as error:
            self._fail(error)
            return
        self._failures = 0
        self._score(metrics)
        self._at.progress = progress
        # Where the participant is the unit of privacy nobody tells how many rows it has.
        rows = None if self._study.privacy.participants else metrics.rows
        self._record(number, summed, rows, time.monotonic() - started)

    @property
    def _number(self) -> int:
        """The round of training that goes on: it counts models, not what participants are asked."""
        return len(self._at.records) + 1

    def _ask(
        self, purpose: Purpose, nodes: list[int], timeout: float
    ) -> tuple[Summed, Progress, Metrics]:
        """A sum, where it leads to, and how good the model was before."""
        round_id = self._begin(nodes, timeout)
        length = self._learner.length(purpose)
        before = self._at.progress
        question = Question(round_id, purpose, before.parameters, length, timeout)
        if self._secure is None:
            summed = readable_sum(self._grid, question, nodes, self._needed)
        else:
            online = self._indices(nodes)
            summed = self._secure.sum(question, online, last=purpose == "evaluate")
        learned = self._learner.learn(purpose, before, summed.words, len(summed.nodes))
        return summed, *learned

    def _begin(self, nodes: list[int], timeout: float) -> RoundId:
        if self._secure is None:
            return self._run.begin_round()
        return self._secure.begin(self._indices(nodes), timeout)

    def _indices(self, nodes: list[int]) -> list[int]:
        place = {member.name: index for index, member in enumerate(self._roster.members)}
        return [place[self._names[node]] for node in nodes]

    def _fail(self, error: TrainingError) -> None:
        number = self._number
        refused = self._refused(error.refused) if isinstance(error, TooFewError) else {}
        reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
        reason = f"round {number}: {error}" + (f" ({reasons})" if reasons else "")
        self._run.tell("round_failed", round=number, reason=reason)
        self._failures += 1
        if self._failures == MOST_FAILURES:
            if self._study.privacy.guarantee is not None and self._at.records:
                # What a lost round told is paid for, and nobody may pay more: the model is done.
                self._run.tell("kept", round=self._at.records[-1].round)
                self._ended = True
                return
            last = self._at.records[-1].round if self._at.records else None
            kept = "there is no model yet" if last is None else f"the model of round {last} is kept"
            raise TrainingError(
                f"{reason}; {kept}",
                hint="repair the named participants, then run `blindfit-server train --resume`",
            ) from error

    def _record(self, number: int, summed: Summed, rows: int | None, seconds: float) -> None:
        record = RoundRecord(
            round=number,
            participants=self._named(summed.nodes),
            refused=self._refused(summed.refused),
            rows=rows,
            seconds=round(seconds, 3),
        )
        self._at.records.append(record)
        self._keep()
        self._run.tell("round_aggregated", **vars(record))

    def _evaluate(self) -> None:
        """Measure the final model; it stays unscored if too few are left to do so."""
        timeout = min(FINAL_SECONDS, self._study.federation.round_timeout)
        nodes = [node for node in self._grid.get_node_ids() if node in self._names]
        try:
            _, _, metrics = self._ask("evaluate", nodes, timeout)
        except TrainingError as error:
            reason = f"the last model could not be measured: {error}"
            self._run.tell("round_failed", round=self._number, reason=reason)
            return
        self._score(metrics)
        self._keep()

    def _score(self, metrics: Metrics) -> None:
        """The inputs of a round measure the model of the round before."""
        if not self._at.records or self._at.records[-1].loss is not None:
            return
        record = self._at.records[-1]
        score_round(record, self._study, metrics)
        if is_better(self._at.records, self._at.best_round, self._study.federation.early_stop):
            self._at.best, self._at.best_round = self._at.progress.model, record.round
        self._run.tell("round_finished", **vars(record))

    def _take_best(self) -> None:
        """With early stopping, the model is that of the best round."""
        self._at.progress = replace(self._at.progress, model=self._at.best)
        self._run.tell("kept", round=self._at.best_round)
        self._keep()

    def _keep(self) -> None:
        # The checkpoint first: the model can be made from it again, not the other way round.
        self._run.keep_checkpoint(self._at)
        self._run.keep_model(self._study, self._at.progress.model)

    def _refused(self, refused: Mapping[int, str]) -> dict[str, str]:
        return {self._names[node]: why for node, why in sorted(refused.items())}

    def _named(self, nodes: Iterable[int]) -> list[str]:
        return sorted(self._names[node] for node in nodes)
