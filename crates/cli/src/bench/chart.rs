//! `throughput.svg`: requests per second of each way, the relay beside, the design's floor as a line.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::{
    BLACK, ChartBuilder, Color as _, IntoDrawingArea as _, IntoFont as _, PathElement, RGBColor, Rectangle,
    SVGBackend, Text, WHITE,
};

use super::measure::Way;
use super::report::{Median, Report};

const SIZE: (u32, u32) = (900, 420);
const RELAY: RGBColor = RGBColor(140, 140, 140);
const OURS: RGBColor = RGBColor(38, 98, 168);
const FLOOR: RGBColor = RGBColor(196, 62, 46);

pub(super) fn draw(path: &Path, report: &Report) -> anyhow::Result<()> {
    // The drawing library's errors borrow the area they come from.
    render(path, report).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn render(path: &Path, report: &Report) -> Result<(), Box<dyn std::error::Error>> {
    let medians = &report.medians;
    let highest = medians.iter().map(|median| median.per_second).fold(1.0, f64::max);
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let caption =
        format!("{} B messages, fsync on every write, {} cores", report.message_bytes, report.cores);
    let bars = medians.len();
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .y_label_area_size(72)
        .x_label_area_size(12)
        .build_cartesian_2d(0.0..super::float(bars as u64), 0.0..highest * 1.25)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_desc("requests per second")
        .y_max_light_lines(0)
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .draw()?;
    let relay =
        medians.iter().find(|median| median.way == Way::Relay).map_or(0.0, |median| median.per_second);
    for (position, median) in medians.iter().enumerate() {
        let left = super::float(position as u64);
        let colour = if median.way == Way::Relay { RELAY } else { OURS };
        let corners = [(left + 0.15, 0.0), (left + 0.85, median.per_second)];
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        if let Some(floor) = floor(median.way) {
            let line = [(left + 0.08, floor * relay), (left + 0.92, floor * relay)];
            chart.draw_series([PathElement::new(line, FLOOR.stroke_width(3))])?;
        }
        let font = ("sans-serif", 13).into_font().color(&BLACK);
        let over = |lines: f64| (left + 0.05, median.per_second + highest * (0.02 + 0.06 * lines));
        chart.draw_series([Text::new(figures(median), over(0.7), font.clone())])?;
        chart.draw_series([Text::new(label(median.way).to_owned(), over(1.6), font)])?;
    }
    area.present()?;
    Ok(())
}

fn figures(median: &Median) -> String {
    format!("{:.0}/s, x{:.2}, Redis {:.0} us", median.per_second, median.ratio, median.redis_cpu_us)
}

const fn label(way: Way) -> &'static str {
    match way {
        Way::Relay => "bare relay",
        Way::Direct => "nothing to collect",
        Way::NullSource => "one null source",
        Way::Drain => "draining a backlog",
    }
}

/// The first bound of DESIGN §13, to the relay.
const fn floor(way: Way) -> Option<f64> {
    match way {
        Way::Relay => None,
        Way::Direct => Some(0.45),
        Way::NullSource => Some(0.35),
        Way::Drain => Some(0.7),
    }
}
