"""scikit-learn estimators whose predictions are computed on encrypted rows.

    classifier = EncryptedClassifier(model="digits", passphrase_file="passphrase")
    labels = classifier.predict(rows)      # a table, or an array in the schema's order

They are trained elsewhere: ``fit`` only connects, so that they can stand at the end of a Pipeline.
"""

from __future__ import annotations

import warnings
import weakref
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from blindfit.console import read_passphrase
from blindfit.errors import InputError
from blindfit.home import resolve_home
from blindfit.outputs import Predictions
from blindfit.schema import Schema
from client_app.session import Session


class _EncryptedEstimator(BaseEstimator):  # type: ignore[misc]
    """What both have in common.

    Parameters
    ----------
    model : str
        The served model's name.
    server : str, optional
        ``host:port``, where it is not the one of the enrollment.
    home : path, optional
        The client's folder; else ``$BLINDFIT_HOME`` or the user's data folder.
    version : int, optional
        A model version; else the current one.
    passphrase_file : path, optional
        Its first line opens the key store; else it is asked for, where it is what locks the store.
    out_of_bounds : {"error", "clip"}
        What happens to values outside the schema's bounds.

    """

    def __init__(
        self,
        model: str = "",
        *,
        server: str | None = None,
        home: str | Path | None = None,
        version: int | None = None,
        passphrase_file: str | Path | None = None,
        out_of_bounds: str = "error",
    ):
        self.model = model
        self.server = server
        self.home = home
        self.version = version
        self.passphrase_file = passphrase_file
        self.out_of_bounds = out_of_bounds

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Connect to the server and open the key store; ``X`` and ``y`` are not used or sent."""
        del X, y
        self.close()
        home = None if self.home is None else Path(self.home)
        file = None if self.passphrase_file is None else Path(self.passphrase_file)
        session = Session.open(
            resolve_home(home),
            self.model,
            lambda: read_passphrase(file),
            version=self.version,
            address=self.server,
        )
        try:
            self._require_kind(session.manifest.schema_)
        except InputError:
            session.close()
            raise
        self._session = session
        self._closer = weakref.finalize(self, session.close)
        schema = session.manifest.schema_
        self.feature_names_in_ = np.array([name for name, _ in schema.columns()], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        if schema.classes is not None:
            self.classes_ = np.asarray(schema.classes)
        return self

    def close(self) -> None:
        """End the session; the next prediction opens a new one."""
        if self.__dict__.pop("_session", None) is not None:
            self._closer()

    def __getstate__(self) -> dict[str, Any]:
        # Parameters travel, an opened keyset does not: copies connect by themselves.
        names = self.get_params(deep=False)
        return {name: value for name, value in self.__dict__.items() if name in names}

    def _opened(self) -> Session:
        if "_session" not in self.__dict__:
            self.fit()
        return self._session

    def _predictions(self, X: Any) -> Predictions:
        session = self._opened()
        if isinstance(X, pd.DataFrame):
            table = X
        else:
            array = np.asarray(X)
            if array.ndim != 2 or array.shape[1] != self.n_features_in_:
                raise InputError(
                    f"X has shape {array.shape}; the model takes (n, {self.n_features_in_})"
                )
            table = pd.DataFrame(array, columns=list(self.feature_names_in_))
        answer = session.predict(table, out_of_bounds=self.out_of_bounds)  # type: ignore[arg-type]
        if answer.warning:
            warnings.warn(answer.warning, stacklevel=3)
        return answer.predictions

    def _require_kind(self, schema: Schema) -> None:
        if schema.is_classification != isinstance(self, ClassifierMixin):
            other = "EncryptedClassifier" if schema.is_classification else "EncryptedRegressor"
            raise InputError(f"{self.model} is served for {other}")

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels or values (n,) of rows ``X`` (n, columns), computed encrypted."""
        return self._predictions(X).values


def _has_probabilities(estimator: Any) -> bool:
    # Asking must not connect: `available_if` would hide every error as a missing attribute.
    session = estimator.__dict__.get("_session")
    return session is None or session.manifest.output != "scores"


class EncryptedClassifier(ClassifierMixin, _EncryptedEstimator):  # type: ignore[misc]
    """A classifier on a Blindfit server; the server sees neither rows nor labels."""

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities (n, classes) in the order of ``classes_``."""
        probabilities = self._predictions(X).probabilities
        if probabilities is None:
            raise AttributeError("this model's estimator has no probabilities")
        return probabilities

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Scores (n,) for two classes, else (n, classes)."""
        scores = self._predictions(X).scores
        return scores[:, 0] if scores.shape[1] == 1 else scores


class EncryptedRegressor(RegressorMixin, _EncryptedEstimator):  # type: ignore[misc]
    """A regressor on a Blindfit server; the server sees neither rows nor values."""
