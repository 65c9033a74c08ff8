"""What happens beside the user's thread: async logging, many processes, measurements of the machine."""

import subprocess
import sys
import threading

import mlflow
import pytest
from helpers import refused, wait_until
from mlflow.entities import Metric, Param, RunTag

PROCESSES = 8
STEPS = 25


def test_everything_can_be_logged_asynchronously(client, run):
    pending = [
        client.log_metric(run, "m", 1.5, step=1, synchronous=False),
        client.log_param(run, "p", "v", synchronous=False),
        client.set_tag(run, "t", "v", synchronous=False),
        client.log_batch(run, [Metric("n", 2, 1000, 0)], [Param("q", "w")], [RunTag("u", "w")], synchronous=False),
    ]
    for operation in pending:
        operation.wait()
    data = client.get_run(run).data
    assert data.metrics == {"m": 1.5, "n": 2}
    assert data.params == {"p": "v", "q": "w"}
    assert (data.tags["t"], data.tags["u"]) == ("v", "w")


def test_an_asynchronous_loop_loses_nothing(client):
    with mlflow.start_run() as run:
        for step in range(500):
            mlflow.log_metrics({"a": step, "b": -step}, step=step, synchronous=False)
        mlflow.log_params({"p": 1, "q": 2}, synchronous=False)
        mlflow.flush_async_logging()
    for key, sign in (("a", 1), ("b", -1)):
        history = client.get_metric_history(run.info.run_id, key)
        assert sorted((m.step, m.value) for m in history) == [(step, sign * step) for step in range(500)]
    assert client.get_run(run.info.run_id).data.params == {"p": "1", "q": "2"}


def test_an_asynchronous_error_reaches_who_waits(client, run):
    client.log_param(run, "p", "1")
    with pytest.raises(Exception, match="(?i)changing param value"):
        client.log_param(run, "p", "2", synchronous=False).wait()
    assert client.get_run(run).data.params == {"p": "1"}


@pytest.mark.heavy
def test_eight_processes_log_runs_of_their_own(client, experiment):
    """Each also writes to one run that they share."""
    shared = client.create_run(experiment, run_name="shared").info.run_id
    command = [sys.executable, "-c", _WORKERS, experiment, shared, str(PROCESSES), str(STEPS)]
    workers = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert workers.returncode == 0, workers.stdout
    runs = client.search_runs([experiment], "attributes.run_name LIKE 'worker%'", order_by=["params.number"])
    assert [run.data.params["number"] for run in runs] == [str(number) for number in range(PROCESSES)]
    assert all(run.data.metrics == {"m": STEPS - 1} and run.info.status == "FINISHED" for run in runs)
    history = client.get_metric_history(shared, "m")
    assert len(history) == PROCESSES * STEPS
    data = client.get_run(shared).data
    assert data.metrics == {"m": PROCESSES * 1000 - 1000 + STEPS - 1}
    assert data.params == {f"p{number}": "v" for number in range(PROCESSES)}


# One program that forks: eight imports of the SDK at once would take most of the suite's time,
# and a fork of pytest itself would copy whatever threads the stories before have left.
_WORKERS = """
import multiprocessing
import sys
from mlflow.tracking import MlflowClient

experiment, shared, processes, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def work(number):
    client = MlflowClient()
    run = client.create_run(experiment, run_name=f"worker {number}").info.run_id
    client.log_param(run, "number", number)
    client.log_param(shared, f"p{number}", "v")
    for step in range(steps):
        client.log_metric(run, "m", step, step=step)
        client.log_metric(shared, "m", 1000 * number + step, step=1000 * number + step)
    client.set_terminated(run)


fork = multiprocessing.get_context("fork")
workers = [fork.Process(target=work, args=(number,)) for number in range(processes)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
sys.exit(any(worker.exitcode for worker in workers))
"""


def test_threads_write_to_one_run(client, run):
    errors = []

    def write(number):
        try:
            for step in range(20):
                client.log_metric(run, "shared", step, timestamp=1000 + number, step=step)
            client.set_tag(run, "same", "value")
        except Exception as error:  # noqa: BLE001 - told by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(client.get_metric_history(run, "shared")) == 160
    assert client.get_run(run).data.metrics == {"shared": 19}


def test_of_two_values_for_a_param_one_wins(client, run):
    results = []

    def write(value):
        try:
            client.log_param(run, "p", value)
            results.append(str(value))
        except mlflow.MlflowException as error:
            assert error.error_code == "INVALID_PARAMETER_VALUE", error

    threads = [threading.Thread(target=write, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 1
    assert client.get_run(run).data.params == {"p": results[0]}


def test_the_machine_is_measured_while_a_run_runs(client):
    mlflow.set_system_metrics_sampling_interval(0.2)
    mlflow.set_system_metrics_samples_before_logging(1)
    try:
        with mlflow.start_run(log_system_metrics=True) as run:
            wait_until(
                lambda: len(client.get_metric_history(run.info.run_id, "system/cpu_utilization_percentage")) >= 3,
                "three measurements",
            )
    finally:
        mlflow.set_system_metrics_sampling_interval(None)
        mlflow.set_system_metrics_samples_before_logging(None)
    metrics = client.get_run(run.info.run_id).data.metrics
    assert metrics["system/system_memory_usage_megabytes"] > 0
    assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100


def test_an_experiment_made_twice_at_once_is_made_once(client, experiment):
    name, made = f"race of {experiment}", []

    def make():
        try:
            made.append(client.create_experiment(name))
        except mlflow.MlflowException as error:
            assert error.error_code == "RESOURCE_ALREADY_EXISTS", error

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    with refused("RESOURCE_ALREADY_EXISTS"):
        client.create_experiment(name)
