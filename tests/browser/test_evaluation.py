"""Evaluation data: datasets and their records, evaluation runs and their comparison, issues, and sample data."""

import dataclasses
import os
import re
import time

import mlflow
import pytest
from mlflow.entities import AssessmentSource
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=4)

# Traces are sent before their block ends.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

CAPITALS = {"Portugal": "Lisbon", "Norway": "Oslo", "Kenya": "Nairobi"}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """An experiment with a dataset, two evaluations of it, and an issue."""

    experiment_id: str
    dataset: str
    dataset_id: str
    #: By name, the worse one first.
    runs: dict[str, str]


def evaluate(data, wrong: tuple[str, ...]) -> str:
    """The id of an evaluation of an agent that does not know some capitals."""

    @mlflow.trace
    def agent(country: str) -> str:
        return f"It is {'Bergen' if country in wrong else CAPITALS[country]}."

    @mlflow.genai.scorer
    def correct(outputs, expectations):
        is_right = expectations["capital"] in outputs
        source = AssessmentSource("LLM_JUDGE", "judges/correct")
        return mlflow.entities.Feedback(name="correct", value="yes" if is_right else "no", source=source)

    return mlflow.genai.evaluate(data=data, predict_fn=agent, scorers=[correct]).run_id


def log_evaluation(url: str) -> Evaluation:
    mlflow.set_tracking_uri(url)
    experiment_id = mlflow.create_experiment(f"capitals {time.time_ns()}")
    mlflow.set_experiment(experiment_id=experiment_id)
    made = mlflow.genai.datasets.create_dataset(name="capitals of countries", experiment_id=experiment_id)
    made.merge_records([{"inputs": {"country": country}, "expectations": {"capital": capital}} for country, capital in CAPITALS.items()])
    data = mlflow.genai.datasets.get_dataset(dataset_id=made.dataset_id)
    runs = {}
    for name, wrong in (("first try", ("Norway", "Kenya")), ("second try", ())):
        with mlflow.start_run(run_name=name):
            runs[name] = evaluate(data, wrong)
    return Evaluation(experiment_id, made.name, made.dataset_id, runs)


@pytest.fixture(scope="session")
def evaluation(url) -> Evaluation:
    """For tests that change nothing in it."""
    return log_evaluation(url)


@pytest.fixture
def own(url) -> Evaluation:
    """For a test that changes something."""
    return log_evaluation(url)


def records(page):
    return page.get_by_role("row").filter(has=page.get_by_role("checkbox", name=re.compile("^Select record ")))


def test_a_dataset_shows_its_records(genai, evaluation):
    genai.open(f"/experiments/{evaluation.experiment_id}/datasets")
    genai.page.get_by_role("link", name=evaluation.dataset).click()
    expect(records(genai.page)).to_have_count(len(CAPITALS))
    row = records(genai.page).filter(has_text="Norway")
    expect(row).to_contain_text('"capital":"Oslo"')
    genai.page.get_by_label("Search records by inputs or expectations").fill("Nairobi")
    expect(records(genai.page)).to_have_count(1)
    expect(records(genai.page)).to_contain_text("Kenya")


def test_a_dataset_is_made_and_deleted(genai, own):
    genai.open(f"/experiments/{own.experiment_id}/datasets")
    genai.button("Create dataset").click()
    dialog = genai.dialog("Create evaluation dataset")
    dialog.get_by_label("Dataset name").fill("rivers of countries")
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog).to_have_count(0)
    # The list shows a new dataset when it is read again, with the reference too.
    genai.page.reload()
    row = genai.page.get_by_role("row").filter(has_text="rivers of countries")
    expect(row).to_have_count(1)
    found = mlflow.genai.datasets.search_datasets(experiment_ids=[own.experiment_id])
    assert {dataset.name for dataset in found} == {own.dataset, "rivers of countries"}
    row.get_by_role("button", name="Actions for dataset rivers of countries").click()
    genai.page.get_by_role("menuitem", name=re.compile("Delete")).click()
    genai.page.get_by_role("dialog").get_by_role("button", name=re.compile("^Delete")).click()
    expect(row).to_have_count(0)


def test_traces_are_added_to_a_dataset(genai, own):
    made = mlflow.genai.datasets.create_dataset(name="from traces", experiment_id=own.experiment_id)
    genai.open(f"/experiments/{own.experiment_id}/traces")
    rows = genai.page.get_by_role("row").filter(has=genai.page.get_by_role("checkbox", name=re.compile("^Select trace ")))
    expect(rows).to_have_count(2 * len(CAPITALS))
    for country in ("Norway", "Kenya"):
        rows.filter(has_text=country).first.get_by_role("checkbox").click()
    genai.page.get_by_role("button", name="Actions for selected traces").click()
    genai.page.get_by_role("menuitem", name="Add to evaluation dataset").click()
    dialog = genai.dialog("Export traces to datasets")
    dialog.get_by_role("row").filter(has_text="from traces").get_by_role("checkbox").click()
    dialog.get_by_role("button", name="Export").click()
    expect(dialog).to_have_count(0)
    found = mlflow.genai.datasets.get_dataset(dataset_id=made.dataset_id).to_df()
    assert {row["country"] for row in found["inputs"]} == {"Norway", "Kenya"}
    assert set(found["source_type"]) == {"TRACE"}


def test_an_evaluation_shows_each_answer(genai, evaluation):
    genai.open(f"/experiments/{evaluation.experiment_id}/evaluation-runs")
    main = genai.page.get_by_role("main")
    main.get_by_text("first try", exact=True).click()
    expect(main.get_by_text("3 of 3")).to_be_visible()
    row = main.get_by_role("row").filter(has_text="Norway")
    expect(row).to_contain_text("It is Bergen.")
    expect(row).to_contain_text("Fail")
    expect(main.get_by_text("33%", exact=True).first).to_be_visible()


def test_evaluations_are_compared(genai, evaluation):
    genai.open(f"/experiments/{evaluation.experiment_id}/evaluation-runs")
    main = genai.page.get_by_role("main")
    for name in evaluation.runs:
        main.get_by_role("row").filter(has_text=name).get_by_role("checkbox").click()
    main.get_by_role("button", name="Actions").first.click()
    genai.page.get_by_role("menuitem", name="Compare").click()
    expect(main.get_by_text("Comparing")).to_be_visible()
    # Both answers to a question are in one row.
    row = main.get_by_role("row").filter(has_text="It is Bergen.").filter(has_text="It is Oslo.")
    expect(row).to_have_count(1)


def create_issue(url: str, experiment_id: str, run_id: str, **fields) -> str:
    store = mlflow.tracking._tracking_service.utils._get_store()
    severity = mlflow.entities.issue.IssueSeverity.HIGH
    status = mlflow.entities.issue.IssueStatus.PENDING
    made = store.create_issue(experiment_id=experiment_id, source_run_id=run_id, severity=severity, status=status, **fields)
    return made.issue_id


def test_issues_are_shown_and_resolved(genai, url, own):
    client = mlflow.MlflowClient(url)
    tags = {
        "mlflow.runType": "issue_detection",
        "mlflow.issueDetection.result.issues": "1",
        "mlflow.issueDetection.result.totalTracesAnalyzed": "6",
        "mlflow.issueDetection.result.summary": "## Wrong capitals\n\nTwo answers name another city.",
    }
    run_id = client.create_run(own.experiment_id, run_name="search for issues", tags=tags).info.run_id
    client.set_terminated(run_id)
    issue_id = create_issue(
        url, own.experiment_id, run_id, name="Wrong capitals", description="The answer names another city.", categories=["correctness"]
    )
    traces = mlflow.search_traces(
        locations=[own.experiment_id], filter_string="feedback.correct = 'no'", return_type="list"
    )
    for trace in traces:
        mlflow.log_issue(trace_id=trace.info.trace_id, issue_id=issue_id, run_id=run_id)
    client.link_traces_to_run([trace.info.trace_id for trace in traces], run_id)

    genai.open(f"/experiments/{own.experiment_id}/evaluation-runs/{run_id}")
    main = genai.page.get_by_role("main")
    expect(main.get_by_text(re.compile("Scanned *6 traces, *1 issue *found"))).to_be_visible()
    expect(main.get_by_role("heading", name="Wrong capitals")).to_be_visible()
    main.get_by_role("tab", name="Issues").click()
    expect(main.get_by_text("Pending (1)")).to_be_visible()
    expect(main.get_by_text(re.compile("Impacted traces: *2"))).to_be_visible()
    main.get_by_role("button", name="Resolve").click()
    expect(main.get_by_text("Resolved (1)")).to_be_visible()
    store = mlflow.tracking._tracking_service.utils._get_store()
    assert [issue.status for issue in store.search_issues(experiment_id=own.experiment_id)] == [mlflow.entities.issue.IssueStatus.RESOLVED]


def test_the_home_page_generates_sample_data(genai, url):
    genai.open("/")
    genai.button("Start Demo").click()
    main = genai.page.get_by_role("main")
    expect(main.get_by_role("heading", name="Overview")).to_be_visible()
    expect(main.get_by_role("tabpanel", name="Usage").get_by_role("heading", name="42", exact=True)).to_be_visible()
    experiment_id = mlflow.MlflowClient(url).get_experiment_by_name("MLflow Demo").experiment_id
    for page, text in (("chat-sessions", "session-"), ("datasets", "demo-"), ("prompts", "mlflow-demo.prompts."), ("review-queue", "Demo answers to review|Demo Response Review"), ("evaluation-runs", "baseline")):
        genai.open(f"/experiments/{experiment_id}/{page}")
        expect(genai.page.get_by_role("main").get_by_text(re.compile(text)).first).to_be_visible()
