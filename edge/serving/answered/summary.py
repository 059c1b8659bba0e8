"""What a server answered, as its status says it, and `edgecnn deploy` shows it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """What was asked and answered in a time.

    Attributes:
        requests: Number of requests by HTTP status, except those for `/healthz` and `/metrics`.
        errors: Number of those with a status of 500 or more.
        pictures: Number of pictures and camera frames that were answered.
        p50_ms: Median time of an answer in milliseconds, within 9 %; None without one.
        p90_ms: Time that nine of ten answers did not exceed.
    """

    requests: dict[str, int]
    errors: int
    pictures: int
    p50_ms: float | None
    p90_ms: float | None


@dataclass(frozen=True)
class AnswersOfFile:
    """All answers of a file in service.

    Attributes:
        file: Name of the file.
        sha256: SHA-256 of the file.
        answers: Number of answers.
        accepted: Number of them that the file's threshold accepts; 0 for a file without one.
        refused: Number of them that it does not accept.
        classes: Number of answers by class; beyond 100 classes, those of others together.
        confidences: Number of answers by the lower end of their bin of confidence.
        compared: Number of answers that were compared with those for the test images; None if no bundle records these.
        differences: A sentence for what differs beyond chance: the classes, the confidences.
    """

    file: str
    sha256: str
    answers: int
    accepted: int
    refused: int
    classes: dict[str, int]
    confidences: dict[str, int]
    compared: int | None
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Answered:
    """What a server answered, before its last start too.

    Attributes:
        since: Time of the first minute that is counted, as ISO 8601 in UTC, by the board's clock; None without any.
        hour: The last hour.
        day: The last 24 hours.
        all: All that is kept.
        files: The files in service.
    """

    since: str | None
    hour: Traffic
    day: Traffic
    all: Traffic
    files: tuple[AnswersOfFile, ...]
