//! The configuration as it is logged when the agent starts as a systemd service.

use super::Config;
use crate::cli;

impl Config {
    /// Returns the lines that the original agent logs at its start, in its order; `fingerprint` is
    /// that of `--auth-key`.
    pub(crate) fn banner(&self, fingerprint: Option<&str>) -> Vec<String> {
        let (bbot, ours) = (cli::BBOT_VERSION, env!("CARGO_PKG_VERSION"));
        let toolchain = &self.toolchain;
        let mut lines = vec![
            format!("bbot agent {bbot} (bbot-rs {ours})"),
            format!("cpu(s)         {}", self.cpu),
            format!("ram(kB)        {}", self.ram_kib),
            format!("bridge         {}", self.bridge),
        ];
        lines.extend(fingerprint.map(|fingerprint| format!("auth key fp    {fingerprint}")));
        lines.extend([
            format!("interactive    {}", self.interactive),
            format!("toolchain name {}", toolchain.name),
            format!("toolchain num  {}", toolchain.number),
            format!("toolchain ver  {}", toolchain.version),
            format!("toolchain id   {}", toolchain.id.as_deref().unwrap_or_default()),
            format!("instance  num  {}", self.instance),
        ]);
        if self.instance_max != 0 {
            lines.push(format!("instance  max  {}", self.instance_max));
        }
        let mut controllers: Vec<_> = self.controllers.iter().collect();
        controllers.sort_by_key(|controller| controller.priority);
        let url = |c: &&super::Controller| format!("controller url {}={}", c.priority, c.url);
        lines.extend(controllers.iter().map(url));
        lines
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::config;

    /// W5: the lines and their order are those of the original agent.
    #[test]
    fn lines_are_those_of_the_original_agent() {
        let args = ["--toolchain-name=public", "--toolchain-num=2", "--instance=3"];
        let more = ["--instance-max=4", "--toolchain-id=abc", "0100=https://b/", "https://a/"];
        let config = config(&[&args[..], &more].concat()).unwrap();
        let ours = env!("CARGO_PKG_VERSION");
        let expected = [
            &format!("bbot agent 0.16.0 (bbot-rs {ours})"),
            "cpu(s)         1",
            "ram(kB)        1048576",
            "bridge         br1",
            "auth key fp    f00",
            "interactive    false",
            "toolchain name public",
            "toolchain num  2",
            "toolchain ver  0.16.0",
            "toolchain id   abc",
            "instance  num  3",
            "instance  max  4",
            "controller url 0000=https://a/",
            "controller url 0100=https://b/",
        ];
        assert_eq!(config.banner(Some("f00")), expected);
        assert_eq!(config.banner(None).len(), expected.len() - 1);
    }
}
