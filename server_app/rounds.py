"""The rounds of a federated training, over any Flower grid."""

from __future__ import annotations

import time
from collections.abc import Iterable

from flwr.app import RecordDict
from flwr.serverapp import Grid

from blindfit.errors import TrainingError
from blindfit.estimators import Parameters, initial_parameters, parameter_shapes
from blindfit.federation_messages import read_reply, write_goodbye, write_instruction
from blindfit.metrics import Metrics
from blindfit.study import Study
from server_app.aggregation import Update, average, check_metrics, check_update, total
from server_app.exchange import LATECOMER_SECONDS, Replies, ask, wait_for_participants
from server_app.run_folder import RoundRecord, RunFolder, score_round

FINAL_SECONDS = 120.0  # the bound of the last evaluation: the model is trained by then
GOODBYE_SECONDS = 8.0


def conduct(grid: Grid, run: RunFolder) -> None:
    """Train the run's study; the last good model is in ``run`` after every round.

    Raises `TrainingError` when participants are too few. Either way the last event says how it
    ended, and the participants are told.
    """
    failure = {"reason": "the coordinator ended unexpectedly", "hint": "see superlink.log"}
    try:
        _Training(grid, run).all_rounds()
        failure = {}
    except TrainingError as error:
        failure = {"reason": str(error), "hint": error.hint}
        _say_goodbye(grid, run, str(error))
        raise
    finally:
        # The last event: after it, the SuperLink may be stopped at any moment.
        run.tell("failed" if failure else "finished", **failure)


def _say_goodbye(grid: Grid, run: RunFolder, reason: str) -> None:
    names = run.participants()
    nodes = [node for node in grid.get_node_ids() if node in names]
    if nodes:
        ask(grid, "query", write_goodbye(reason), nodes, lambda _: None, timeout=GOODBYE_SECONDS)


class _Training:
    def __init__(self, grid: Grid, run: RunFolder) -> None:
        self._grid, self._run = grid, run
        self._study: Study = run.study()
        self._names = run.participants()
        self._records: list[RoundRecord] = []

    def all_rounds(self) -> None:
        federation = self._study.federation
        parameters = initial_parameters(self._study)
        for number in range(1, federation.rounds + 1):
            nodes = self._wait(first=number == 1)
            parameters = self._round(number, parameters, nodes)
        self._evaluate(parameters)

    def _wait(self, *, first: bool) -> list[int]:
        federation = self._study.federation
        needed = federation.min_participants

        def report(present: list[str]) -> None:
            if first or len(present) < needed:
                self._run.tell("waiting", present=present, needed=needed)

        return wait_for_participants(
            self._grid,
            self._names,
            needed,
            federation.join_timeout,
            report,
            latecomers=LATECOMER_SECONDS if first else 0.0,
        )

    def _round(self, number: int, parameters: Parameters, nodes: list[int]) -> Parameters:
        started = time.monotonic()
        self._run.tell("round_started", round=number, participants=self._named(nodes))
        content = write_instruction(self._study, number, parameters)
        timeout = self._study.federation.round_timeout
        replies = ask(
            self._grid, "train", content, nodes, self._read, timeout=timeout, group=str(number)
        )
        updates = list(replies.answers.values())
        self._score(total([update.metrics for update in updates]))
        self._require_enough(number, replies)
        parameters = average(updates)
        self._run.keep_model(self._study, parameters)
        self._record(number, replies, time.monotonic() - started)
        return parameters

    def _read(self, content: RecordDict) -> Update:
        metrics, parameters = read_reply(content)
        return check_update(parameters, metrics, parameter_shapes(self._study))

    def _require_enough(self, number: int, replies: Replies[Update]) -> None:
        needed = self._study.federation.min_participants
        if len(replies.answers) >= needed:
            return
        refused = "; ".join(f"{self._names[n]}: {why}" for n, why in replies.refused.items())
        kept = f"the model of round {number - 1} is kept" if number > 1 else "there is no model yet"
        raise TrainingError(
            f"round {number}: {len(replies.answers)} usable updates of at least {needed} "
            f"({refused or 'too few participants'}); {kept}",
            hint="repair the named participants, then run `blindfit-server train` again",
        )

    def _record(self, number: int, replies: Replies[Update], seconds: float) -> None:
        record = RoundRecord(
            round=number,
            participants=self._named(replies.answers),
            refused={self._names[node]: why for node, why in replies.refused.items()},
            rows=sum(update.metrics.rows for update in replies.answers.values()),
            seconds=round(seconds, 3),
        )
        self._records.append(record)
        self._run.keep_history(self._records)
        self._run.tell("round_aggregated", **vars(record))

    def _evaluate(self, parameters: Parameters) -> None:
        timeout = min(FINAL_SECONDS, self._study.federation.round_timeout)
        nodes = [node for node in self._grid.get_node_ids() if node in self._names]
        content = write_instruction(self._study, len(self._records), parameters)

        def read(reply: RecordDict) -> Metrics:
            return check_metrics(read_reply(reply)[0])

        replies = ask(self._grid, "evaluate", content, nodes, read, timeout=timeout)
        self._score(total(list(replies.answers.values())))

    def _score(self, metrics: Metrics) -> None:
        """The replies of a round measure the model of the round before."""
        if self._records:
            record = self._records[-1]
            score_round(record, self._study, metrics)
            self._run.keep_history(self._records)
            self._run.tell("round_finished", **vars(record))

    def _named(self, nodes: Iterable[int]) -> list[str]:
        return sorted(self._names[node] for node in nodes)
