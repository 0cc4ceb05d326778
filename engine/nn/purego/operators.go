// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"math"

	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// operators is the table of all operators, by name.
func operators() map[string]operator {
	return map[string]operator{
		"Conv":               {2, 3, buildConv},
		"BatchNormalization": {5, 5, buildNorm},
		"Gemm":               {2, 3, buildGemm},
		"MatMul":             {2, 2, buildMatMul},

		"AveragePool":       {1, 1, buildAveragePool},
		"MaxPool":           {1, 1, buildMaxPool},
		"GlobalAveragePool": {1, 1, buildGlobal(mean)},
		"GlobalMaxPool":     {1, 1, buildGlobal(largest)},
		"ReduceMean":        {1, 2, buildReduce(mean)},
		"ReduceSum":         {1, 2, buildReduce(sum)},
		"ReduceMax":         {1, 2, buildReduce(largest)},
		"ArgMax":            {1, 1, buildArgMax},
		"Softmax":           {1, 1, buildSoftmax},

		"Relu":        {1, 1, buildRelu},
		"Clip":        {1, 3, buildClip},
		"LeakyRelu":   {1, 1, buildLeakyRelu},
		"HardSigmoid": {1, 1, buildHardSigmoid},
		"HardSwish":   {1, 1, unary(func(x float32) float32 { return x * min(max(x/6+0.5, 0), 1) })},
		"Sigmoid":     {1, 1, unary(func(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) })},
		"Tanh":        {1, 1, unary(func(x float32) float32 { return float32(math.Tanh(float64(x))) })},
		"Exp":         {1, 1, unary(func(x float32) float32 { return float32(math.Exp(float64(x))) })},
		"Log":         {1, 1, unary(func(x float32) float32 { return float32(math.Log(float64(x))) })},
		"Sqrt":        {1, 1, unary(func(x float32) float32 { return float32(math.Sqrt(float64(x))) })},
		"Neg":         {1, 1, unary(func(x float32) float32 { return -x })},
		"Abs":         {1, 1, unary(func(x float32) float32 { return float32(math.Abs(float64(x))) })},

		"Add": {2, 2, pairwise(func(a, b float32) float32 { return a + b }, func(a, b int64) int64 { return a + b })},
		"Sub": {2, 2, pairwise(func(a, b float32) float32 { return a - b }, func(a, b int64) int64 { return a - b })},
		"Mul": {2, 2, pairwise(func(a, b float32) float32 { return a * b }, func(a, b int64) int64 { return a * b })},
		"Div": {2, 2, pairwise(func(a, b float32) float32 { return a / b }, quotient)},
		"Pow": {2, 2, pairwise(func(a, b float32) float32 { return float32(math.Pow(float64(a), float64(b))) }, nil)},
		"Min": {2, 2, pairwise(func(a, b float32) float32 { return min(a, b) }, func(a, b int64) int64 { return min(a, b) })},
		"Max": {2, 2, pairwise(func(a, b float32) float32 { return max(a, b) }, func(a, b int64) int64 { return max(a, b) })},

		"Identity":        {1, 1, buildIdentity},
		"Dropout":         {1, 3, buildIdentity},
		"Reshape":         {2, 2, buildReshape},
		"Flatten":         {1, 1, buildFlatten},
		"Squeeze":         {1, 2, buildSqueeze},
		"Unsqueeze":       {1, 2, buildUnsqueeze},
		"Transpose":       {1, 1, buildTranspose},
		"Concat":          {1, many, buildConcat},
		"Split":           {1, 2, buildSplit},
		"Slice":           {1, 5, buildSlice},
		"Gather":          {2, 2, buildGather},
		"Pad":             {1, 3, buildPad},
		"Shape":           {1, 1, buildShape},
		"Cast":            {1, 1, buildCast},
		"Constant":        {0, 0, buildConstant},
		"ConstantOfShape": {1, 1, buildConstantOfShape},
	}
}

// same infers a result of the type and dimensions of the first input, where all are
// floats.
func same(in []*value) ([]value, error) {
	if err := floats(in); err != nil {
		return nil, err
	}
	return []value{{typ: onnx.Float, dims: in[0].dims}}, nil
}
