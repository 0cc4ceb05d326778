// SPDX-License-Identifier: Apache-2.0

// Package oci holds the tests that artifacts are what other people's registries and
// clients take them for: Debian's docker-registry and the registry of
// go-containerregistry, which has the referrers API, beside our own; the oras client in
// Python, skopeo, crane and cosign. "make check-interop" installs them and runs the
// tests, which need the tag "interop".
package oci
