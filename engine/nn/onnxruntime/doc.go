// SPDX-License-Identifier: Apache-2.0

// Package onnxruntime runs ONNX models with Microsoft's onnxruntime: all operators,
// and several times as fast as package purego.
//
// It is there only in builds with cgo and the build tag onnxruntime; without the tag it
// is empty. The library, libonnxruntime.so.1, is loaded when a Backend is opened; it is
// in the npm package onnxruntime-node, among others, and .ci/install-onnxruntime
// fetches it.
//
// Models are decoded by package onnx before the library sees them: one with data in
// other files, or with subgraphs, which could loop, is refused. What a model then takes
// of memory the library decides: where models come from strangers, package purego is the
// better choice. A computation is told to stop when its context ends, and does so
// after the operator that it is at.
package onnxruntime
