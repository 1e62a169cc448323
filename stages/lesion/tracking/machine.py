"""What the machine is doing during a training."""

import time

from lesion.tracking.spool import Entry

SAMPLING = 10.0  # seconds between measurements


class Machine:
    """Measures processor, memory, disk, network and GPUs as MLflow does, into an entry.

    MLflow's own loop would end where the store fails for the first time.
    """

    def __init__(self, entry: Entry) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        self._entry = entry
        self._monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        try:
            from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

            self._monitors.append(GPUMonitor())
        except Exception:  # no GPU, or not the package that reads it
            pass
        self._step = sum(event["event"] == "system" for event in entry.events())
        self._due = 0.0

    def measure(self) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + SAMPLING
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values |= {f"system/{k}": v for k, v in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        self._entry.append("system", values=values, step=self._step)
        self._step += 1
