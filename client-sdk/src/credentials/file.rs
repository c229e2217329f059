//! A file with a token.

use super::{DynTokenSource, Issued, Pace, TokenError};
use confhub_proto::limits::TOKEN_BYTES;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;

/// Read anew for each look: it is no larger than what `stat` costs is worth saving.
pub(super) struct TokenFile(pub(super) PathBuf);

impl DynTokenSource for TokenFile {
    fn dyn_token(&self, _: bool) -> BoxFuture<'_, Result<Issued, TokenError>> {
        let token = async {
            read_text(&self.0).await.map(Issued::new).map_err(|error| {
                TokenError::new(format!("cannot read the token file `{}`: {error}", self.0.display()))
            })
        };
        token.boxed()
    }

    fn pace(&self) -> Pace {
        Pace::Cheap
    }
}

/// Reads a file with a token or a secret, but no more of it than a token can have.
pub(super) async fn read_text(path: &Path) -> std::io::Result<String> {
    let most = u64::try_from(TOKEN_BYTES).unwrap_or(u64::MAX).saturating_add(2);
    let mut text = String::new();
    tokio::fs::File::open(path).await?.take(most).read_to_string(&mut text).await?;
    Ok(text)
}
