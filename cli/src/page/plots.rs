//! Plots as SVG text. Ink and grid have colours that occur nowhere else, so that the
//! page's style sheet can give them those of its light or dark scheme.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::Failure;

/// What is drawn with the text's colour, and where there is a faint line.
const INK: RGBColor = RGBColor(0x11, 0x12, 0x13);
const GRID: RGBColor = RGBColor(0xD0, 0xD1, 0xD2);
/// One for each contender, again from the first where there are more; readable on light
/// and dark alike.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x42, 0x69, 0xD0),
    RGBColor(0xEF, 0x8E, 0x3B),
    RGBColor(0x3C, 0xA9, 0x51),
    RGBColor(0xD6, 0x4D, 0x6C),
    RGBColor(0x97, 0x6B, 0xD8),
    RGBColor(0x2F, 0xA8, 0xA8),
    RGBColor(0xA0, 0x7A, 0x55),
    RGBColor(0x8A, 0x92, 0x9C),
];

const WIDTH: u32 = 860;
const FONT: (&str, u32) = ("sans-serif", 16);
/// Room for labels beside and below.
const LEFT: u32 = 150;
const BELOW: u32 = 34;

type Drawn = Result<(), Box<dyn Error>>;

/// The colour of contender `index`, as CSS writes it.
pub fn colour(index: usize) -> String {
    let RGBColor(r, g, b) = COLOURS[index % COLOURS.len()];
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Bars that share a label.
pub struct Group {
    pub label: String,
    pub bars: Vec<Bar>,
}

/// One bar, from left to right.
pub struct Bar {
    /// Which of the group's lines it lies in.
    pub lane: usize,
    pub colour: usize,
    pub from: f64,
    pub to: f64,
    /// How far the values spread.
    pub whisker: Option<(f64, f64)>,
}

/// Groups of horizontal bars over an axis from 0, with a line at `mark`.
pub fn bars(groups: &[Group], mark: Option<f64>, unit: &str) -> Result<String, Failure> {
    let lanes = |group: &Group| group.bars.iter().map(|bar| bar.lane + 1).max().unwrap_or(1);
    let lanes = groups.iter().map(lanes).max().unwrap_or(1);
    let height = groups.len() * (lanes * 13 + 14) + BELOW as usize + 14;
    svg(height as u32, |area| {
        let ends = groups.iter().flat_map(|group| &group.bars);
        let ends = ends.map(|bar| bar.whisker.map_or(bar.to, |(_, high)| high.max(bar.to)));
        let most = ends.chain(mark).fold(0.0, f64::max) * 1.04;
        let count = groups.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .set_label_area_size(LabelAreaPosition::Left, LEFT)
            .set_label_area_size(LabelAreaPosition::Bottom, BELOW)
            .build_cartesian_2d(0.0..most.max(1e-9), 0.0..count)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .y_labels(0)
            .x_labels(10)
            .x_label_formatter(&|x| format!("{}{unit}", (x * 100.0).round() / 100.0))
            .label_style(text())
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        // A group takes a line of the axis, its bars most of it.
        let thick = 0.8 / lanes as f64;
        for (row, group) in groups.iter().enumerate() {
            let top = count - row as f64 - 0.1;
            let label = EmptyElement::at((0.0, top - 0.4))
                + Text::new(
                    group.label.clone(),
                    (-8, 0),
                    text().pos(Pos::new(HPos::Right, VPos::Center)),
                );
            chart.draw_series([label])?;
            for bar in &group.bars {
                let (high, low) = (
                    top - bar.lane as f64 * thick,
                    top - (bar.lane as f64 + 0.86) * thick,
                );
                let style = COLOURS[bar.colour % COLOURS.len()].filled();
                chart.draw_series([Rectangle::new([(bar.from, low), (bar.to, high)], style)])?;
                if let Some((from, to)) = bar.whisker {
                    let middle = (high + low) / 2.0;
                    let line = PathElement::new(vec![(from, middle), (to, middle)], INK);
                    chart.draw_series([line])?;
                }
            }
        }
        if let Some(mark) = mark {
            let line = PathElement::new(vec![(mark, 0.0), (mark, count)], INK);
            chart.draw_series([line])?;
        }
        Ok(())
    })
}

/// Shares (0 to 1) by depth, a line for each (colour, shares); all begin with 1 at depth 0.
pub fn depths(lines: &[(usize, &[f64])]) -> Result<String, Failure> {
    let deepest = lines.iter().map(|(_, shares)| shares.len()).max();
    let deepest = deepest.unwrap_or(0).max(1);
    svg(300, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .margin_top(14)
            .set_label_area_size(LabelAreaPosition::Left, 64)
            .set_label_area_size(LabelAreaPosition::Bottom, 44)
            .build_cartesian_2d(0..deepest as i32, 0.0..100.0)?;
        chart
            .configure_mesh()
            .x_labels(deepest.min(17) + 1)
            .x_desc("depth")
            .y_labels(6)
            .y_label_formatter(&|y| format!("{y:.0} %"))
            .label_style(text())
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (colour, shares) in lines {
            let colour = COLOURS[colour % COLOURS.len()];
            let all = [1.0].iter().chain(*shares);
            let points: Vec<(i32, f64)> = (0..).zip(all.map(|share| share * 100.0)).collect();
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
            let dots = points
                .into_iter()
                .map(|at| Circle::new(at, 3, colour.filled()));
            chart.draw_series(dots)?;
        }
        Ok(())
    })
}

/// Values over the updates of a run, a line for each (colour, points).
pub fn course(lines: &[(usize, Vec<(f64, f64)>)], unit: &str) -> Result<String, Failure> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let most = points().map(|point| point.1).fold(0.0, f64::max) * 1.05;
    svg(300, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .margin_top(14)
            .set_label_area_size(LabelAreaPosition::Left, 64)
            .set_label_area_size(LabelAreaPosition::Bottom, 44)
            .build_cartesian_2d(0.0..last, 0.0..most.max(1e-9))?;
        chart
            .configure_mesh()
            .x_desc("updates")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_labels(6)
            .y_label_formatter(&|y| format!("{}{unit}", (y * 100.0).round() / 100.0))
            .label_style(text())
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (colour, points) in lines {
            let colour = COLOURS[colour % COLOURS.len()];
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        }
        Ok(())
    })
}

fn text() -> TextStyle<'static> {
    FONT.into_font().color(&INK)
}

/// A plot of some height.
fn svg(
    height: u32,
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Drawn,
) -> Result<String, Failure> {
    let mut out = String::new();
    let area = SVGBackend::with_string(&mut out, (WIDTH, height)).into_drawing_area();
    let drawn = draw(&area).and_then(|()| Ok(area.present()?));
    drop(area);
    drawn.map_err(|e| Failure::Runtime(format!("cannot draw a plot: {e}")))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_hold_what_they_are_given() {
        let bar = |lane, to| Bar {
            lane,
            colour: lane,
            from: 0.0,
            to,
            whisker: Some((to * 0.5, to * 1.5)),
        };
        let group = |label: &str| Group {
            label: label.into(),
            bars: vec![bar(0, 1.5), bar(1, 2.0)],
        };
        let plot = bars(&[group("a<b"), group("c")], Some(1.0), "x").unwrap();
        assert!(plot.starts_with("<svg") && plot.trim_end().ends_with("</svg>"));
        assert!(plot.contains("a&lt;b"), "labels are text");
        for index in [0, 1] {
            let fill = format!("fill=\"{}\"", colour(index).to_uppercase());
            assert_eq!(plot.matches(&fill).count(), 2, "{plot}");
        }
        let plot = depths(&[(0, &[0.5, 0.25]), (1, &[])]).unwrap();
        assert_eq!(plot.matches("<circle").count(), 3 + 1);
        let plot = course(&[(0, vec![(1.0, 2.0), (5.0, 1.0)])], " nats").unwrap();
        assert!(
            plot.contains("<polyline") && plot.contains(" nats"),
            "{plot}"
        );
        assert!(course(&[], "").is_ok());
        assert!(bars(&[], None, "").is_ok() && depths(&[]).is_ok());
    }
}
