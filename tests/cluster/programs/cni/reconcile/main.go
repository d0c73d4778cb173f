// Runs whereabouts' reconciler once: what its control loop does at each turn of its schedule.
package main

import (
	"fmt"
	"os"

	"github.com/k8snetworkplumbingwg/whereabouts/pkg/reconciler"
	"github.com/k8snetworkplumbingwg/whereabouts/pkg/storage/kubernetes"
)

func main() {
	if err := run(os.Getenv("KUBECONFIG")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// It prints the addresses that it has freed.
func run(kubeconfig string) error {
	client, err := kubernetes.NewClientViaKubeconfig(kubeconfig)
	if err != nil {
		return err
	}
	loop, err := reconciler.NewReconcileLooperWithClient(client)
	if err != nil {
		return err
	}
	freed, err := loop.ReconcileIPPools()
	if err != nil {
		return err
	}
	for _, address := range freed {
		fmt.Println(address)
	}
	return loop.ReconcileOverlappingIPAddresses()
}
