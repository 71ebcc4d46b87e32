"""A W&B report of a project of eigexp: which model separates most, whether that is verified, and the pictures.

`python examples/wandb_report.py ENTITY PROJECT` saves it as a draft; it needs `pip install wandb-workspaces` and a W&B key.
"""

import sys

import wandb_workspaces.reports.v2 as wr


def report(entity: str, project: str) -> wr.Report:
    """Return the report: numbers of verified runs, curves of all, and the table with its pictures."""
    everything = wr.Runset(entity=entity, project=project, name="all runs")
    verified = wr.Runset(entity=entity, project=project, name="verified", filters="Summary('verified') = True")
    numbers = [
        wr.ScalarChart(title="D, at least", metric=wr.SummaryMetric("D_lower"), groupby_aggfunc="mean"),
        wr.BarPlot(title="D, at least, by run", metrics=["D_lower"]),
        wr.BarPlot(title="threshold of the most noticeable distortion", metrics=["threshold_top"]),
    ]
    curves = [
        wr.LinePlot(title=f"{end}: {what}", x="solver/step", y=[f"{end}/1/{what}"], log_y=True)
        for end in ("top", "bottom")
        for what in ("eigenvalue", "residual")
    ]
    pictures = [wr.MediaBrowser(media_keys=["distortions/most noticeable added", "distortions/least noticeable added"], num_columns=4)]
    table = [wr.WeavePanelSummaryTable(table_name="results")]
    return wr.Report(
        entity=entity,
        project=project,
        title="Eigendistortions",
        description="Predicted thresholds and their bounds; D is half the logarithm of the ratio of the extremal eigenvalues.",
        blocks=[
            wr.H1("Which model separates most"),
            wr.P("Verified results alone; a D is at least what is shown."),
            wr.PanelGrid(runsets=[verified], panels=numbers),
            wr.H1("The distortions"),
            wr.PanelGrid(runsets=[everything], panels=pictures),
            wr.H1("Convergence"),
            wr.PanelGrid(runsets=[everything], panels=curves),
            wr.H1("Every pair"),
            wr.PanelGrid(runsets=[everything], panels=table),
        ],
    )


if __name__ == "__main__":
    made = report(*sys.argv[1:3])
    made.save(draft=True)
    print(made.url)
