//! The model card: what a head is, what it was made from, and how good it is.

use super::Args;
use super::course::Course;
use super::run::CHAIN;

/// The text of README.md. `kept` is what was learnt from, `best` the head that is kept.
pub fn card(args: &Args, model: &str, course: &Course) -> String {
    let files = args.data.iter().map(|path| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        format!("`{}`", name.to_string_lossy())
    });
    let files: Vec<String> = files.collect();
    let best = course.best();
    let (step, tau) = best.map_or((0, 0.0), |point| (point.step, point.tau));
    let depths = best.map_or_else(String::new, |point| {
        let shares = point
            .by_depth
            .iter()
            .map(|share| format!("{:.0} %", 100.0 * share));
        shares.collect::<Vec<_>>().join(", ")
    });
    let loss = course.lines.iter().rev().find(|line| line.step <= step);
    let accuracy = loss.and_then(|line| line.accuracy.first()).copied();
    format!(
        "# {method} head for {model}\n\n\
         A draft head for lossless speculative decoding with the model above, in the layout \
         of the official {method} files. It changes speed, never text.\n\n\
         | measured on {held_out} held-out conversations | |\n|---|---|\n\
         | tokens a round, chains of {CHAIN} at temperature 0 (tau) | {tau:.2} |\n\
         | rounds that accept 1, 2, .. drafted tokens | {depths} |\n\
         | first choice is the model's own, last training batch | {accuracy:.2} |\n\n\
         ## Training\n\n\
         Made by `eaglet train` {version} from {documents} conversations of {tokens} tokens \
         ({files}). The licence of the data is that of its sources.\n\n\
         | setting | |\n|---|---|\n| begun as | {begun} |\n\
         | epochs | {epochs} |\n| highest learning rate | {lr} |\n\
         | tokens ahead | {ahead} |\n| draft vocabulary | {vocabulary} |\n\
         | tokens of a conversation at most | {length} |\n\
         | tokens of an update | {update} |\n| seed | {seed} |\n| kept after update | {step} |\n",
        method = args.method.name(),
        held_out = course.held_out,
        accuracy = accuracy.unwrap_or_default(),
        version = env!("CARGO_PKG_VERSION"),
        documents = course.documents,
        tokens = course.tokens,
        files = files.join(", "),
        epochs = args.epochs,
        lr = args.lr,
        ahead = args.ahead,
        vocabulary = course.drafted,
        length = args.max_length,
        begun = args.init.as_ref().map_or_else(
            || "the model's own last layer".into(),
            |head| format!(
                "`{}`",
                head.file_name()
                    .unwrap_or(head.as_os_str())
                    .to_string_lossy()
            ),
        ),
        update = args.micro_batch * args.accumulate,
        seed = args.seed,
    )
}
