"""What `/metrics` counts, in Prometheus's text format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_INFERENCE_SECONDS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0)


class Metrics:
    """The counters of one server.

    Attributes:
        registry: All of them.
        requests: Answered requests, by the path of the route and the HTTP status.
        seconds: Time of a request, by the path of the route.
        inference: Time of the inference of one image, by file.
        frames: Frames of the camera, by what became of them: `classified` or `dropped`.
        waiting: Requests that are answered at the moment or wait for it.
        dropped_lines: Lines of the log that were dropped because it was not read in time.
    """

    def __init__(self) -> None:
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
        self.frames = Counter("edgecnn_camera_frames", "Frames of the camera.", ("outcome",), registry=self.registry)
        self.dropped_lines = Counter(
            "edgecnn_log_lines_dropped", "Lines of the log dropped because it was not read in time.", registry=self.registry
        )
        self.waiting = Gauge("edgecnn_requests_waiting", "Requests that are answered or wait for it.", registry=self.registry)

    def errors(self) -> int:
        """Return how many requests were answered with status 500."""
        samples = (sample for metric in self.requests.collect() for sample in metric.samples)
        return int(
            sum(sample.value for sample in samples if sample.labels.get("status") == "500" and sample.name.endswith("_total"))
        )
