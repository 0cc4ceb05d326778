// SPDX-License-Identifier: Apache-2.0

// Format brings images into the one form that object detection takes: snapshots of
// 224 by 224 pixels of three bytes, red, green and blue.
//
// It behaves like the sample operator of the same name that Azure publishes in
// Rust (Azure-Samples/explore-iot-operations), for PNG, JPEG and frames that are in
// this form already.
package main

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"strconv"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
)

func main() {} // never runs, but a main package needs one

func init() { mapper.Handle(open) }

const name = "module-format/map"

// The form.
const (
	side      = 224 // pixels
	format    = "rgb24"
	frameSize = side * side * 3
)

// maxPixels is how large an image may be: one of 25 megapixels takes up to 200 MB
// to decode, and an instance has 256.
const maxPixels = 25_000_000

var errInput = errors.New("Unexpected input type.") //lint:ignore ST1005 the published text

func open(host *sdk.Host) (mapper.Func, error) {
	requests := host.Metrics.Counter("requests", sdk.Label{Key: "module", Value: name})
	return func(in sdk.Data) (sdk.Data, error) {
		_ = requests.Add(1)
		var content sdk.Bytes
		out := &sdk.Snapshot{Format: sdk.Text(format), Width: side, Height: side}
		switch in := in.(type) {
		case *sdk.Message:
			content, out.Timestamp = in.Payload, in.Timestamp
		case *sdk.Snapshot:
			if in.Width == side && in.Height == side && in.Format.String() == format {
				return in, nil
			}
			content, out.Timestamp = in.Frame, in.Timestamp
		default:
			return nil, errInput
		}
		frame, err := rescaled(content.Bytes())
		if err != nil {
			return nil, errors.New("Unexpected image format or size. " + err.Error())
		}
		out.Frame = sdk.Raw(frame)
		return out, nil
	}, nil
}

// codec decodes images of one format.
type codec struct {
	magic  string // what a file begins with
	config func(content *bytes.Reader) (image.Config, error)
	decode func(content *bytes.Reader) (image.Image, error)
}

// codecs returns the formats that are understood.
func codecs() [2]codec {
	return [...]codec{
		{"\x89PNG\r\n\x1a\n",
			func(content *bytes.Reader) (image.Config, error) { return png.DecodeConfig(content) },
			func(content *bytes.Reader) (image.Image, error) { return png.Decode(content) }},
		{"\xff\xd8\xff",
			func(content *bytes.Reader) (image.Config, error) { return jpeg.DecodeConfig(content) },
			func(content *bytes.Reader) (image.Image, error) { return jpeg.Decode(content) }},
	}
}

// rescaled returns the frame that content shows, which is an image in a file format,
// or such a frame already.
func rescaled(content []byte) ([]byte, error) {
	err := errors.New("It is " + strconv.Itoa(len(content)) + " bytes that are neither PNG nor JPEG; an " + format + " frame has " + strconv.Itoa(frameSize))
	for _, c := range codecs() {
		if bytes.HasPrefix(content, []byte(c.magic)) {
			var img image.Image
			if img, err = c.read(content); err == nil {
				return resize(pixelsOf(img), side, side).bytes(), nil
			}
		}
	}
	if len(content) == frameSize {
		return content, nil
	}
	return nil, err
}

// read decodes content, unless it announces more pixels than there is memory for.
func (c codec) read(content []byte) (image.Image, error) {
	config, err := c.config(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if config.Width <= 0 || config.Height <= 0 {
		return nil, errors.New("the image has no pixels")
	}
	if config.Width > maxPixels/config.Height {
		return nil, errors.New("the image has " + strconv.Itoa(config.Width) + " x " + strconv.Itoa(config.Height) + " pixels, more than " + strconv.Itoa(maxPixels))
	}
	return c.decode(bytes.NewReader(content))
}
