//! Bar charts as SVG: what was measured, and where a target is, a line over the bar.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::{
    BLACK, ChartBuilder, Color as _, IntoDrawingArea as _, IntoFont as _, PathElement, RGBColor, Rectangle,
    SVGBackend, Text, WHITE,
};

const SIZE: (u32, u32) = (900, 420);
const BESIDE: RGBColor = RGBColor(140, 140, 140);
const OURS: RGBColor = RGBColor(38, 98, 168);
const TARGET: RGBColor = RGBColor(196, 62, 46);

/// One measured way.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) label: String,
    /// Under the label.
    pub(super) figures: String,
    pub(super) value: f64,
    /// The design's bound.
    pub(super) target: Option<f64>,
    /// What ours is compared with, and not ours.
    pub(super) is_beside: bool,
}

/// What the bars show.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) caption: String,
    pub(super) unit: &'static str,
    pub(super) bars: Vec<Bar>,
}

pub(super) fn draw(path: &Path, chart: &Chart) -> anyhow::Result<()> {
    // The drawing library's errors borrow the area they come from.
    render(path, chart).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn render(path: &Path, what: &Chart) -> Result<(), Box<dyn std::error::Error>> {
    let bars = &what.bars;
    let highest = bars.iter().flat_map(|bar| [Some(bar.value), bar.target]).flatten().fold(1.0, f64::max);
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&what.caption, ("sans-serif", 18))
        .margin(12)
        .y_label_area_size(72)
        .x_label_area_size(12)
        .build_cartesian_2d(0.0..super::float(bars.len() as u64), 0.0..highest * 1.25)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_desc(what.unit)
        .y_max_light_lines(0)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for (position, bar) in bars.iter().enumerate() {
        let left = super::float(position as u64);
        let colour = if bar.is_beside { BESIDE } else { OURS };
        let corners = [(left + 0.15, 0.0), (left + 0.85, bar.value)];
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        if let Some(target) = bar.target {
            let line = [(left + 0.08, target), (left + 0.92, target)];
            chart.draw_series([PathElement::new(line, TARGET.stroke_width(3))])?;
        }
        let font = ("sans-serif", 13).into_font().color(&BLACK);
        let top = bar.target.map_or(bar.value, |target| bar.value.max(target));
        let over = |lines: f64| (left + 0.05, top + highest * (0.02 + 0.06 * lines));
        chart.draw_series([Text::new(bar.figures.clone(), over(0.7), font.clone())])?;
        chart.draw_series([Text::new(bar.label.clone(), over(1.6), font)])?;
    }
    area.present()?;
    Ok(())
}
