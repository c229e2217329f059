//! Client of confhub.
