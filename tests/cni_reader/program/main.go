// Prints how programs in Go read configurations of CNI plugins: one configuration on each line of standard input, as a
// text in JSON, and its readings on each line of standard output. The members are those of containernetworking/plugins.
// With an argument the lines are results, converted into that version by libcni.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/types/create"
)

// What libcni and each plugin read.
type protocol struct {
	types.NetConf
}

type macvlan struct {
	Master          string `json:"master"`
	Mode            string `json:"mode"`
	MTU             int    `json:"mtu"`
	Mac             string `json:"mac,omitempty"`
	LinkInContainer bool   `json:"linkInContainer,omitempty"`
}

type bridge struct {
	Bridge       string `json:"bridge"`
	IsGateway    bool   `json:"isGateway"`
	ForceAddress bool   `json:"forceAddress"`
	IPMasq       bool   `json:"ipMasq"`
	Vlan         int    `json:"vlan"`
}

type hostDevice struct {
	Device     string `json:"device"`
	HWAddr     string `json:"hwaddr"`
	KernelPath string `json:"kernelpath"`
	PCIBusID   string `json:"pciBusID"`
}

type tuning struct {
	DataDir string            `json:"dataDir,omitempty"`
	SysCtl  map[string]string `json:"sysctl"`
}

type portmap struct {
	SNAT         *bool     `json:"snat,omitempty"`
	ConditionsV4 *[]string `json:"conditionsV4"`
	Chain        *string   `json:"externalSetMarkChain"`
}

type addresses struct {
	IPAM struct {
		Type       string `json:"type"`
		DataDir    string `json:"dataDir"`
		ResolvConf string `json:"resolvConf"`
		Subnet     string `json:"subnet"`
	} `json:"ipam"`
}

// What a plugin that executes others reads.
type meta struct {
	Type      string  `json:"type"`
	IPAM      *meta   `json:"ipam"`
	Delegate  *meta   `json:"delegate"`
	Delegates []*meta `json:"delegates"`
	Plugins   []*meta `json:"plugins"`
}

// What the runtime alone may say.
type runtime struct {
	PrevResult       json.RawMessage `json:"prevResult"`
	RuntimeConfig    json.RawMessage `json:"runtimeConfig"`
	ValidAttachments json.RawMessage `json:"cni.dev/valid-attachments"`
}

// The readings of one configuration. One that fails is null, as the plugin then ends with an error.
type readings struct {
	Protocol   *protocol              `json:"protocol"`
	Macvlan    *macvlan               `json:"macvlan"`
	Bridge     *bridge                `json:"bridge"`
	HostDevice *hostDevice            `json:"hostDevice"`
	Tuning     *tuning                `json:"tuning"`
	Portmap    *portmap               `json:"portmap"`
	Addresses  *addresses             `json:"addresses"`
	Types      []string               `json:"types"`
	Runtime    *runtime               `json:"runtime"`
	Any        map[string]interface{} `json:"any"`
	// The plugins of a list, as libcni takes them apart.
	List []json.RawMessage `json:"list"`
}

func read[T any](text []byte) *T {
	value := new(T)
	if json.Unmarshal(text, value) != nil {
		return nil
	}
	return value
}

func (m *meta) types() []string {
	if m == nil {
		return nil
	}
	var found []string
	if m.Type != "" {
		found = append(found, m.Type)
	}
	found = append(append(found, m.IPAM.types()...), m.Delegate.types()...)
	for _, inner := range append(append([]*meta{}, m.Delegates...), m.Plugins...) {
		found = append(found, inner.types()...)
	}
	return found
}

func readingsOf(text []byte) readings {
	found := readings{
		Protocol:   read[protocol](text),
		Macvlan:    read[macvlan](text),
		Bridge:     read[bridge](text),
		HostDevice: read[hostDevice](text),
		Tuning:     read[tuning](text),
		Portmap:    read[portmap](text),
		Addresses:  read[addresses](text),
		Runtime:    read[runtime](text),
		Types:      read[meta](text).types(),
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&found.Any) != nil {
		found.Any = nil
	}
	if list, err := libcni.ConfListFromBytes(text); err == nil {
		for _, plugin := range list.Plugins {
			found.List = append(found.List, plugin.Bytes)
		}
	}
	return found
}

// The result in another version, or nil if libcni refuses it.
func converted(text []byte, version string) interface{} {
	result, err := create.CreateFromBytes(text)
	if err != nil {
		return nil
	}
	result, err = result.GetAsVersion(version)
	if err != nil {
		return nil
	}
	return result
}

func answer(text []byte) interface{} {
	if len(os.Args) > 1 {
		return converted(text, os.Args[1])
	}
	return readingsOf(text)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	for lines.Scan() {
		var text string
		if err := json.Unmarshal(lines.Bytes(), &text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := json.NewEncoder(output).Encode(answer([]byte(text))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
