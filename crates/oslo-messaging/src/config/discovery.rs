//! Which files make a configuration: those of a project and its program, and those that are named.
//!
//! Mirrors `find_config_files`, `find_config_dirs` and `ConfigOpts.__call__` of `oslo_config/cfg.py`.
//! What is in a file is the affair of `ini`. Called by programs, the command line among them.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use super::{Config, schema::program_name};
use crate::error::Error;

/// Where a configuration is read from, as an OpenStack service finds it.
///
/// Named files and folders are read in the order in which they are named, later ones winning.
/// Without a named file those of the project and the program come first: `{project}.conf` and
/// `{program}.conf`, each where it is found first of `~/.{project}/`, `~/`, `/etc/{project}/`, `/etc/`,
/// `$SNAP_COMMON/etc/{project}/` and `$SNAP/etc/{project}/`. Without a named folder those of
/// `{project}.conf.d/` and `{program}.conf.d/` in the same places follow. Of a folder the files
/// `*.conf` are read in the order of their names. The environment wins over all of them.
///
/// ```no_run
/// use oslo_messaging::{Transport, config::Sources};
///
/// // What `nova-compute` itself reads: /etc/nova/nova.conf and the others.
/// let config = Sources::new().project("nova").program("nova-compute").read()?;
/// let transport = Transport::builder().config(config).for_notifications()?;
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sources {
    project: Option<String>,
    program: Option<String>,
    named: Vec<Named>,
    /// In place of this process's.
    environment: Option<Vec<(String, String)>>,
}

/// What was named, in its order.
#[derive(Clone, Debug)]
enum Named {
    File(PathBuf),
    Folder(PathBuf),
}

impl Sources {
    /// The environment, and the files of a program with the name of this one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The project whose files are read, such as `nova`. Default: none, so that only the program's
    /// files in `~/` and `/etc/` are looked for.
    #[must_use]
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The program whose files are read, such as `nova-compute`. Default: the file name of this one.
    #[must_use]
    pub fn program(mut self, program: impl Into<String>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Adds a file, as `--config-file` does. `~/` is the home folder.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.named.push(Named::File(path.into()));
        self
    }

    /// Adds the `*.conf` of a folder, as `--config-dir` does. `~/` is the home folder.
    #[must_use]
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.named.push(Named::Folder(path.into()));
        self
    }

    /// Takes these variables in place of this process's environment, for the options and for
    /// `HOME`, `SNAP` and `SNAP_COMMON`.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = Some(variables.into_iter().collect());
        self
    }

    /// The files that are read, those that win last.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for a named folder that cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let mut files = Vec::new();
        if !self.named.iter().any(|named| matches!(named, Named::File(_))) {
            files.extend(self.own(".conf"));
        }
        if !self.named.iter().any(|named| matches!(named, Named::Folder(_))) {
            for folder in self.own(".conf.d") {
                files.extend(confs(&folder)?);
            }
        }
        for named in &self.named {
            match named {
                Named::File(path) => files.push(self.expanded(path)),
                Named::Folder(path) => files.extend(confs(&self.expanded(path))?),
            }
        }
        Ok(files)
    }

    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for a named file or folder that cannot be read, [`Error::InvalidConfig`] for
    /// a file that oslo.config would refuse.
    pub fn read(&self) -> Result<Config, Error> {
        let mut config = Config::from_files(&self.files()?)?;
        match &self.environment {
            Some(variables) => config.set_environment(variables.iter().cloned()),
            None => config.read_environment(),
        };
        Ok(config)
    }

    /// The project's and the program's files or folders that are there.
    fn own(&self, extension: &str) -> Vec<PathBuf> {
        let program = self.program.clone().unwrap_or_else(|| {
            let name = program_name();
            name.strip_suffix(".py").unwrap_or(&name).to_owned()
        });
        let project = self.project.as_deref().filter(|name| !name.is_empty());
        let places = self.places(project);
        project
            .into_iter()
            .chain(Some(program.as_str()).filter(|name| !name.is_empty()))
            .filter_map(|name| {
                let name = format!("{name}{extension}");
                places.iter().map(|place| place.join(&name)).find(|path| path.exists())
            })
            .collect()
    }

    /// The folders that are searched.
    fn places(&self, project: Option<&str>) -> Vec<PathBuf> {
        let home = self.home();
        let etc = Path::new("/etc");
        let mut places = Vec::new();
        places.extend(project.zip(home.as_ref()).map(|(name, home)| home.join(format!(".{name}"))));
        places.extend(home);
        places.extend(project.map(|name| etc.join(name)));
        places.push(etc.to_owned());
        for variable in ["SNAP_COMMON", "SNAP"] {
            let snap = self.variable(variable).filter(|path| !path.is_empty());
            places.extend(
                project.zip(snap).map(|(name, snap)| Path::new(&snap).join("etc").join(name)),
            );
        }
        places
    }

    /// A path with the home folder in the place of a first `~`.
    fn expanded(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), self.home()) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }
    }

    fn home(&self) -> Option<PathBuf> {
        match &self.environment {
            Some(_) => self.variable("HOME").map(PathBuf::from).or_else(env::home_dir),
            None => env::home_dir(),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        match &self.environment {
            Some(variables) => {
                let mut same = variables.iter().filter(|(variable, _)| variable == name);
                same.next_back().map(|(_, value)| value.clone())
            }
            None => env::var(name).ok(),
        }
    }
}

/// The `*.conf` of a folder in the order of their names, hidden ones left out.
fn confs(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source: io::Error| Error::File { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".conf") && !text.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::{Error, Sources};
    use std::{fs, path::PathBuf};

    /// A home folder that goes with this.
    struct Home(PathBuf);

    impl Home {
        fn with(name: &str, files: &[&str]) -> Self {
            let home = std::env::temp_dir().join(format!("oslomsg-{}-{name}", std::process::id()));
            for file in files {
                let path = home.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("[g]\na = {file}\n")).unwrap();
            }
            Self(home)
        }

        fn sources(&self) -> Sources {
            let variable = |name: &str, folder: &str| {
                (name.to_owned(), self.0.join(folder).to_str().unwrap().to_owned())
            };
            let variables =
                [variable("HOME", ""), variable("SNAP", "snap"), variable("SNAP_COMMON", "common")];
            Sources::new().program("nova-compute-x").environment(variables)
        }

        fn found(&self, sources: &Sources) -> Vec<String> {
            let files = sources.files().unwrap();
            let inside =
                |path: &PathBuf| path.strip_prefix(&self.0).unwrap().to_str().unwrap().to_owned();
            files.iter().map(inside).collect()
        }
    }

    impl Drop for Home {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_projects_files_are_those_of_the_first_place_that_has_them() {
        let home = Home::with(
            "places",
            &[
                ".nova-x/nova-x.conf",
                "nova-x.conf",
                "common/etc/nova-x/nova-compute-x.conf",
                "snap/etc/nova-x/nova-compute-x.conf",
                "snap/etc/nova-x/nova-x.conf.d/b.conf",
                "snap/etc/nova-x/nova-x.conf.d/a.conf",
                "snap/etc/nova-x/nova-x.conf.d/.hidden.conf",
                "snap/etc/nova-x/nova-x.conf.d/a.conf~",
                "nova-compute-x.conf.d/c.conf",
                "named.conf",
                "named.d/n.conf",
            ],
        );
        let nova = home.sources().project("nova-x");
        let files = [".nova-x/nova-x.conf", "common/etc/nova-x/nova-compute-x.conf"];
        let folders = [
            "snap/etc/nova-x/nova-x.conf.d/a.conf",
            "snap/etc/nova-x/nova-x.conf.d/b.conf",
            "nova-compute-x.conf.d/c.conf",
        ];
        assert_eq!(home.found(&nova), [&files[..], &folders].concat());
        assert_eq!(home.found(&home.sources()), ["nova-compute-x.conf.d/c.conf"]);
        let named = nova.clone().file("~/named.conf");
        assert_eq!(home.found(&named), [&folders[..], &["named.conf"]].concat());
        let named = nova.folder("~/named.d");
        assert_eq!(home.found(&named), [&files[..], &["named.d/n.conf"]].concat());
        let named = named.file("~/named.conf");
        assert_eq!(home.found(&named), ["named.d/n.conf", "named.conf"]);
        let config = named.read().unwrap();
        assert_eq!(config.value("g", "a").unwrap().text, "named.conf");
    }

    #[test]
    fn what_is_named_and_missing_is_an_error() {
        let home = Home::with("missing", &["x.conf"]);
        for sources in [home.sources().file("~/y.conf"), home.sources().folder("~/y.d")] {
            let outcome = sources.read();
            assert!(matches!(outcome, Err(Error::File { .. })), "{outcome:?}");
        }
    }
}
