"""Makes the dashboard's JSON from the panels, with Grafana's own builder library."""

from __future__ import annotations

import json

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

from ops.monitoring.panels import ROWS, Panel

UID = "photogpt-worker"
WIDTH, HEIGHT = 8, 8
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

LEGEND = (
    common.VizLegendOptions()
    .show_legend(True)  # noqa: FBT003 - the library's own builder
    .display_mode(LegendDisplayMode.LIST)
    .placement(LegendPlacement.BOTTOM)
)
TOOLTIP = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)


def dashboard_json() -> str:
    """Return the dashboard as Grafana imports it."""
    made = (
        dashboard.Dashboard("photogpt-worker")
        .uid(UID)
        .tags(["photogpt"])
        .timezone("browser")
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for row in ROWS:
        made = made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(diagram(panel))
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def diagram(panel: Panel) -> timeseries.Panel:
    """Return one panel as Grafana's diagram over time."""
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .height(HEIGHT)
        .span(WIDTH)
        .show_points(VisibilityMode.NEVER)
        .fill_opacity(40 if panel.stacked else 5)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if panel.stacked else StackingMode.NONE))
        .legend(LEGEND)
        .tooltip(TOOLTIP)
    )
    for number, query in enumerate(panel.queries):
        made = made.with_target(
            prometheus.Dataquery()
            .datasource(SOURCE)
            .ref_id(chr(ord("A") + number))
            .expr(query.expr)
            .legend_format(query.legend)
            .range()
        )
    return made
