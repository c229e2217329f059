//! A Python with the emulator in it.

use super::cache::{Cache, hash};
use super::child::{self, Prints};
use crate::cli::error::CliError;
use crate::cli::output::Output;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is installed, pinned: the scripts fit exactly these versions.
const REQUIREMENTS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/local/requirements.txt"));

/// The oldest Python that the emulator runs on.
const OLDEST: (u32, u32) = (3, 10);

/// Longest wait for Python to say which one it is.
const ASK: Duration = Duration::from_secs(20);

/// Longest time for making the environment: 20 MB from the index over a slow line.
const MAKE: Duration = Duration::from_secs(600);

/// Most that is read of what the steps print, in bytes; they print little.
const PRINTED: usize = 64 * 1024;

/// A Python that runs the scripts.
#[derive(Debug)]
pub(super) struct Python {
    program: PathBuf,
}

impl Python {
    /// The one of the cache, made first if need be.
    ///
    /// # Errors
    /// If there is no Python to make it with, or a step fails.
    pub(super) async fn prepare(cache: &Cache, base: &Path, output: Output) -> Result<Self, CliError> {
        let version = version(base).await?;
        let name = format!("aws-python-{}", hash([REQUIREMENTS, &version]));
        let program = cache.place(&name).join("bin/python");
        if program.exists() {
            return Ok(Self { program });
        }
        let say = |text: &str| output.remark(text);
        let lock =
            cache.lock(&name, || say("waiting for another confhub, which makes the environment")).await?;
        if !program.exists() {
            say(&format!("making a Python environment in {}, once", cache.place(&name).display()));
            // A base that was removed leaves an environment without a Python.
            let _ = std::fs::remove_dir_all(cache.place(&name));
            make(cache, base, &name, output).await?;
        }
        drop(lock);
        Ok(Self { program })
    }

    /// Where it is.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }
}

async fn make(cache: &Cache, base: &Path, name: &str, output: Output) -> Result<(), CliError> {
    let made = cache.beside()?;
    let mut venv = child::python(base);
    venv.args(["-m", "venv", "--clear"]).arg(made.path());
    let what = "cannot make a Python environment (Debian and Ubuntu have what it takes in `python3-venv`)";
    child::finish(venv, what, MAKE, Prints::Progress, false).await?;
    let requirements = made.path().join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS).map_err(CliError::file("write", &requirements))?;
    let mut pip = child::python(&made.path().join("bin/python"));
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]);
    pip.arg("-r").arg(&requirements);
    let aloud = output == Output::Text;
    child::finish(pip, "cannot install the emulator", MAKE, Prints::Progress, aloud).await?;
    cache.keep(made, name).map(drop)
}

/// Which Python it is, if it is one that will do.
async fn version(base: &Path) -> Result<String, CliError> {
    let mut ask = child::python(base);
    ask.args(["-c", "import sys; print(*sys.version_info[:2], sys.base_prefix)"]);
    let what = "a Python is needed, 3.10 or later: install one, or name it with --python";
    let answer = child::finish(ask, what, ASK, Prints::Answer(PRINTED), false).await?;
    let version = String::from_utf8_lossy(&answer).trim().to_owned();
    match parse(&version) {
        Some(found) if found >= OLDEST => Ok(version),
        Some((major, minor)) => Err(CliError::Failed(format!(
            "{} is Python {major}.{minor}, and 3.10 or later is needed: name another with --python",
            base.display()
        ))),
        None => Err(CliError::Failed(format!(
            "{} does not say which Python it is: name one with --python",
            base.display()
        ))),
    }
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.splitn(3, ' ');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parse("3 9 /usr").unwrap() < OLDEST);
        assert!(parse("3 10 /usr").unwrap() >= OLDEST && parse("4 0 /opt/a b").unwrap() >= OLDEST);
        for wrong in ["", "3", "three 10 /usr", "3.11"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_is_no_python_is_told_with_what_to_do() {
        for base in ["/no/such/python", "/bin/true", "/bin/false"] {
            let error = version(Path::new(base)).await.unwrap_err().to_string();
            assert!(error.contains("--python"), "{error}");
        }
    }
}
