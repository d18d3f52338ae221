//! Models from the Hugging Face hub, through the `hf-hub` crate.
//!
//! `hf-hub` keeps a cache of its own, where an interrupted download goes on. It lives
//! in the store's `hub` folder only until a model is complete: its files are then
//! linked into a model folder, and the cache of that repository is dropped.

mod file;
mod plan;
mod reference;

use std::fs;
use std::path::Path;

use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Cache, Repo, RepoType};

pub use self::reference::HubRef;

use self::file::Files;
use self::plan::Plan;
use super::error::{Error, IoContext, Result};
use super::manifest::Manifest;
use crate::progress::Progress;

/// How to reach the hub.
#[derive(Debug, Default)]
pub struct Hub {
    /// Base URL; none means the public hub.
    pub endpoint: Option<String>,
    /// Access token for private and gated repositories.
    pub token: Option<String>,
}

impl Hub {
    /// `HF_ENDPOINT` and `HF_TOKEN`, which all tools around the hub share.
    pub fn from_env() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            endpoint: var("HF_ENDPOINT").map(|url| url.trim_end_matches('/').into()),
            token: var("HF_TOKEN"),
        }
    }

    /// Fetches `want` by way of the cache folder `cache` into the folder `into`.
    pub fn fetch(
        &self,
        want: &HubRef,
        cache: &Path,
        into: &Path,
        progress: Progress,
    ) -> Result<Manifest> {
        let api = self.api(want, cache)?;
        let info = repo_info(&api, want)?;
        let refused = |cause| refused(want, cause);
        if info.sha.is_empty() || !info.sha.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(refused(format!("its commit {:?} is malformed", info.sha)));
        }
        // From here on the commit and not the branch: a push in the middle of a
        // download, or between two halves of it, must not mix two models.
        let repo = Repo::with_revision(want.repo.clone(), RepoType::Model, info.sha.clone());
        let files = Files {
            want,
            repo: api.repo(repo.clone()),
            api,
            cache: Cache::new(cache.into()).repo(repo),
            progress,
        };
        let names: Vec<_> = info.siblings.into_iter().map(|s| s.rfilename).collect();
        let file = match Plan::choose(want, &names).map_err(refused)? {
            Plan::Gguf(file) => {
                files.fetch(&file, into)?;
                Some(file)
            }
            Plan::Folder(parts) => {
                for part in &parts {
                    files.fetch(part, into)?;
                }
                let index = into.join(plan::INDEX);
                if parts.iter().any(|part| part == plan::INDEX) {
                    let text = fs::read(&index).during("read", &index)?;
                    for shard in plan::shards(&text).map_err(refused)? {
                        files.fetch(&shard, into)?;
                    }
                }
                None
            }
        };
        Ok(Manifest {
            name: format!("hf:{want}"),
            source: info.sha,
            file,
        })
    }

    fn api(&self, want: &HubRef, cache: &Path) -> Result<Api> {
        let mut builder = ApiBuilder::from_cache(Cache::new(cache.into()))
            .with_progress(false)
            .with_user_agent("eaglet", env!("CARGO_PKG_VERSION"))
            .with_token(self.token.clone());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        builder.build().map_err(|e| failed(want, e))
    }
}

/// Drops what the cache folder `cache` keeps of the repository.
pub fn forget(want: &HubRef, cache: &Path) {
    let folder = Repo::model(want.repo.clone()).folder_name();
    // What cannot be removed only costs space.
    let _ = fs::remove_dir_all(cache.join(folder));
}

fn repo_info(api: &Api, want: &HubRef) -> Result<RepoInfo> {
    let revision = want.revision.as_deref().unwrap_or("main");
    let repo = Repo::with_revision(want.repo.clone(), RepoType::Model, revision.into());
    let request = api.repo(repo).info_request();
    // The status tells a wrong name from a broken network.
    let request = request.config().http_status_as_error(false).build();
    let mut response = request.call().map_err(|e| failed(want, e))?;
    match response.status().as_u16() {
        200 => response.body_mut().read_json().map_err(|e| failed(want, e)),
        401 | 403 | 404 => Err(refused(
            want,
            format!(
                "there is no such public repository with a revision {revision}; check the name, \
                 or set HF_TOKEN if it is private"
            ),
        )),
        status => Err(failed(want, format!("the hub answered {status}"))),
    }
}

/// The network failed, or something like it.
fn failed(want: &HubRef, cause: impl ToString) -> Error {
    Error::Hub {
        repo: want.repo.clone(),
        cause: cause.to_string(),
    }
}

/// The answer is final.
fn refused(want: &HubRef, cause: String) -> Error {
    Error::HubRefused {
        repo: want.repo.clone(),
        cause,
    }
}
