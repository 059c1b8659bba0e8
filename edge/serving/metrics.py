"""What a server counts: for `/metrics`, in Prometheus's text format, and for its record of answers."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from edgecnn.edge.inference.answer_mix import CONFIDENCES
from edgecnn.edge.serving.answered.answers import Answers, GivenAnswer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_CLASSIFY = "/api/classify"
# What a supervisor asks, again and again.
_WATCHED = ("/healthz", "/metrics")
_INFERENCE_SECONDS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0)


class Metrics:
    """The counters of one server.

    Attributes:
        answers: The record of answers, which goes on after a restart.
        registry: All others.
        requests: Answered requests, by the path of the route and the HTTP status.
        seconds: Time of a request, by the path of the route.
        inference: Time of the inference of one image, by file.
        given: Answers, by file, class and whether the threshold accepts them: `true`, `false`, or `none` without one.
        confidence: Probability of the answers, by file.
        frames: Frames of the camera, by what became of them: `classified`, `blank` (nothing to answer) or `dropped`.
        waiting: Requests that are answered at the moment or wait for it.
        dropped_lines: Lines of the log that were dropped because it was not read in time.
        errors: Number of requests that were answered with status 500.
    """

    def __init__(self, answers: Answers | None = None) -> None:
        self.answers, self.errors = answers or Answers(), 0
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "edgecnn_requests", "Requests answered, by path and status.", ("path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "edgecnn_request_seconds",
            "Time from the head of a request to the end of its answer, by path.",
            ("path",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.inference = Histogram(
            "edgecnn_inference_seconds",
            "Time of the inference of one image, by file.",
            ("file",),
            buckets=_INFERENCE_SECONDS,
            registry=self.registry,
        )
        self.given = Counter(
            "edgecnn_answers", "Answers, by file, class and acceptance.", ("file", "label", "accepted"), registry=self.registry
        )
        self.confidence = Histogram(
            "edgecnn_answer_confidence",
            "Probability of the class that is the answer, by file.",
            ("file",),
            buckets=(*CONFIDENCES, 1.0),
            registry=self.registry,
        )
        self.frames = Counter("edgecnn_camera_frames", "Frames of the camera.", ("outcome",), registry=self.registry)
        self.dropped_lines = Counter(
            "edgecnn_log_lines_dropped", "Lines of the log dropped because it was not read in time.", registry=self.registry
        )
        self.waiting = Gauge("edgecnn_requests_waiting", "Requests that are answered or wait for it.", registry=self.registry)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request by the path of its route, the status and the time of its answer."""
        self.requests.labels(path, str(status)).inc()
        self.errors += status == 500
        self.seconds.labels(path).observe(seconds)
        if path not in _WATCHED:
            self.answers.request(status)
        if path == _CLASSIFY and status == 200:
            self.answers.took(seconds)

    def picture(self, answers: Sequence[GivenAnswer], is_frame: bool) -> None:
        """Count the files' answers to a picture, or to a frame of the camera."""
        for answer in answers:
            accepted = str(answer.accepted).lower()
            self.given.labels(answer.file.name, answer.file.classifier.class_names[answer.place], accepted).inc()
            self.confidence.labels(answer.file.name).observe(answer.confidence)
        self.answers.picture(answers, is_frame)
