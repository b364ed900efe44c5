//! CPU time a redis-server has used, from its own INFO.

use std::time::Duration;

use anyhow::Context as _;

/// User and system time of the process and its threads since its start.
pub(super) async fn used(url: &str) -> anyhow::Result<Duration> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("cpu").query_async(&mut connection).await?;
    parse(&info).context("INFO cpu without its figures")
}

fn parse(info: &str) -> Option<Duration> {
    let figure = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
    };
    Some(Duration::from_secs_f64(figure("used_cpu_user")? + figure("used_cpu_sys")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_and_children_left_out() {
        let info = "# CPU\r\nused_cpu_sys:0.25\r\nused_cpu_user:1.5\r\nused_cpu_sys_children:9\r\nused_cpu_user_children:9\r\n";
        assert_eq!(parse(info), Some(Duration::from_millis(1_750)));
        assert_eq!(parse("used_cpu_sys:0.25\r\n"), None);
    }
}
