// The CNI plugin "delegates" attaches the networks of a pod's annotation at pod start, as Multus does and in its
// formats: by libcni, with Multus' folder of caches, and with network-status. Multus itself is no Go module that can be
// built here. In the node's chain it comes after the plugins of the cluster's network.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

type settings struct {
	types.NetConf
	// Only pods of namespaces that begin so are served.
	NamespacePrefix string `json:"namespacePrefix"`
	Kubeconfig      string `json:"kubeconfig"`
	CNIDir          string `json:"cniDir"`
	BinDir          string `json:"binDir"`
}

// What the runtime says in CNI_ARGS.
type podArgs struct {
	types.CommonArgs
	K8S_POD_NAMESPACE          types.UnmarshallableString
	K8S_POD_NAME               types.UnmarshallableString
	K8S_POD_INFRA_CONTAINER_ID types.UnmarshallableString
	K8S_POD_UID                types.UnmarshallableString
}

func main() {
	skel.PluginMainFuncs(skel.CNIFuncs{Add: add, Del: del, Check: check}, version.All, "delegates: Multus' part")
}

func read(args *skel.CmdArgs) (*settings, *podArgs, error) {
	conf := &settings{CNIDir: "/var/lib/cni/multus", BinDir: "/opt/cni/bin"}
	if err := json.Unmarshal(args.StdinData, conf); err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	if err := version.ParsePrevResult(&conf.NetConf); err != nil {
		return nil, nil, fmt.Errorf("prevResult: %w", err)
	}
	pod := &podArgs{CommonArgs: types.CommonArgs{IgnoreUnknown: true}}
	if err := types.LoadArgs(args.Args, pod); err != nil {
		return nil, nil, fmt.Errorf("CNI_ARGS: %w", err)
	}
	return conf, pod, nil
}

func (conf *settings) serves(pod *podArgs) bool {
	return strings.HasPrefix(string(pod.K8S_POD_NAMESPACE), conf.NamespacePrefix)
}

func add(args *skel.CmdArgs) error {
	conf, pod, err := read(args)
	if err != nil {
		return err
	}
	if conf.PrevResult == nil {
		return fmt.Errorf("this is a chained plugin: there is no prevResult")
	}
	if conf.serves(pod) {
		if err := attachAll(conf, pod, args); err != nil {
			return err
		}
	}
	result, err := current.NewResultFromResult(conf.PrevResult)
	if err != nil {
		return err
	}
	return types.PrintResult(result, conf.CNIVersion)
}

func del(args *skel.CmdArgs) error {
	conf, pod, err := read(args)
	if err != nil || !conf.serves(pod) {
		return err
	}
	path := filepath.Join(conf.CNIDir, args.ContainerID)
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var delegates []delegate
	if err := json.Unmarshal(text, &delegates); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := detachAll(conf, pod, args, delegates); err != nil {
		return err
	}
	return os.Remove(path)
}

func check(*skel.CmdArgs) error { return nil }
